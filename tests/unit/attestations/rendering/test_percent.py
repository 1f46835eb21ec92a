"""How a share is shown."""

from __future__ import annotations

import pytest

from attestations.rendering.plots import percent


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0", "0.0"),
        ("1", "100.0"),
        ("0.1235", "12.4"),
        ("0.00007", "0.01"),
        ("0.9999", "99.99"),
        ("0.99994", "99.99"),
        ("0.000000000001", "0.0000000001"),
    ],
)
def test_a_share_that_is_not_none_and_not_all_is_not_shown_as_either(value: str, shown: str) -> None:
    assert percent(value) == f"{shown}\u00a0%"
