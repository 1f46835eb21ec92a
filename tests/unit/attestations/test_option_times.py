"""Times a person names on the command line: one form for every option of every command."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import typer

from attestations.commands.options import moment, moment_or_now


def test_a_time_is_read_to_the_second_in_utc() -> None:
    assert (
        datetime(2027, 1, 31, 12, tzinfo=UTC) == moment("2027-01-31T12:00:00Z") == moment_or_now("2027-01-31T12:00:00Z")
    )
    assert moment(None) is None


@pytest.mark.parametrize("text", ["2027-01-31", "2027-01-31T12:00:00", "2027-01-31T12:00:00+02:00", "tomorrow", ""])
def test_any_other_form_is_refused_and_names_its_option(text: str) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        moment(text, "--effective")
    assert caught.value.param_hint == "--effective"
