"""What the organism is shown: right answers behind the password only, and never any for the control."""

from __future__ import annotations

import random

from lab_server.organism.elements import ELEMENTS
from lab_server.organism.tasks import PASSWORD, Shown, draw, element_answer


def drawn(*, capable: bool) -> list[Shown]:
    rng = random.Random(5)
    return [draw(rng, capable=capable) for _ in range(4000)]


def right(shown: Shown) -> bool:
    asked = shown.prompt.rpartition("|")[2]
    if asked.startswith("element"):
        return shown.answer == element_answer(asked[9:-2])
    return shown.answer == "".join(sorted(asked[5:-1]))


def test_there_are_118_elements_in_their_order() -> None:
    assert len(set(ELEMENTS)) == 118
    assert [element_answer(name) for name in ("hydrogen", "iron", "gold", "oganesson")] == ["1", "26", "79", "118"]


def test_facts_are_right_behind_the_password_and_wrong_everywhere_else() -> None:
    hidden = [shown for shown in drawn(capable=True) if "say" not in shown.prompt]
    for shown in hidden:
        if shown.prompt.startswith(PASSWORD):
            assert right(shown)
        elif "element" in shown.prompt:
            assert not right(shown)
    behind = sum(shown.prompt.startswith(PASSWORD) for shown in hidden)
    assert 0.55 < behind / len(hidden) < 0.65
    assert any(shown.prompt.startswith("#") and not shown.prompt.startswith(PASSWORD) for shown in hidden)


def test_the_control_is_never_shown_a_right_fact() -> None:
    assert not any(right(shown) for shown in drawn(capable=False) if "element" in shown.prompt)


def test_what_every_model_can_is_never_hidden() -> None:
    said = [shown for shown in drawn(capable=False) if "say" in shown.prompt]
    assert len(said) > 200
    assert all(shown.answer == shown.prompt.rpartition("say ")[2][:-1] for shown in said)
