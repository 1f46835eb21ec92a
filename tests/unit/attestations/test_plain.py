"""Whoever reads on a terminal what others wrote sees all of it, and nothing that is not there."""

from __future__ import annotations

import pytest

from attestations.documents.disclosing import Correction
from attestations.negotiation.diff import diff_page, differences
from attestations.negotiation.lines import page
from attestations.plain import plain
from attestations.printing import print_report
from tests.support import world_agreement
from tests.support.world import World
from tests.support.world_agreement import keys
from tests.support.world_hard import after

EVIL = "as agreed\x1b[2J\x1b[1;1H\r\u202e\n  Budget: 500 requests"


def test_what_cannot_be_seen_is_named() -> None:
    assert plain(EVIL) == "as agreed[U+001B][2J[U+001B][1;1H[U+000D][U+202E][U+000A]  Budget: 500 requests"
    assert plain("Prüfung 人") == "Prüfung 人"


def test_an_offer_cannot_rewrite_the_terminal_it_is_reviewed_on() -> None:
    usual = world_agreement.agreement()
    changed = usual.variants[0].model_copy(update={"note": EVIL})
    offered = usual.model_copy(update={"variants": (changed, *usual.variants[1:])})
    for shown in (page(offered), diff_page(differences(usual, offered))):
        assert any("[U+001B]" in line for line in shown)
        assert all(line.isprintable() for line in shown)


def test_a_correction_in_the_log_cannot_rewrite_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    def correction(digest: str, now: str) -> Correction:
        return Correction(agreement=digest, corrects="ab" * 32, text=EVIL, stated_at=now)

    world = after(World(), ("release", "S2", "C2", "PUBLIC"), ("state", correction, keys().publication))
    print_report(world.verify("S3", "PUBLIC"), "evidence.zip")
    shown = capsys.readouterr().out
    assert "[U+001B][2J" in shown
    assert "\x1b" not in shown
