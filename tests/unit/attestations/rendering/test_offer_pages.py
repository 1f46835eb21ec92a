"""Offers as pages: the whole text, every difference in words, and nothing said that was not checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attestations.documents.base import validated
from attestations.documents.negotiation import Offer
from attestations.envelope import sign_document
from attestations.policy.model import Policy
from attestations.rendering.offer_view import comparison
from tests.support import world_agreement
from tests.unit.attestations.rendering.test_pages import HOSTILE, checked, run, written


def changed(**policy: Any) -> Any:
    """The usual agreement with another policy and fewer requests."""
    value = world_agreement.agreement().policy.json_value() | policy
    for rule in value["rules"]:
        if rule["id"] == "c2-public":
            rule["permit"] = "TIME(anchor+P25BD)"
    usual = world_agreement.agreement()
    budget = usual.budget.model_copy(update={"requests": "500"})
    return usual.model_copy(update={"policy": validated(Policy, value), "budget": budget})


def offered(folder: Path, body: Any, n: int = 1) -> Path:
    offer = Offer(n=n, previous=None if n == 0 else "0a" * 32, valid_until="2026-12-01T12:00:00Z", body=body)
    path = folder / f"offer-{n}.dsse.json"
    path.write_bytes(sign_document(offer, world_agreement.keys().agreement).to_bytes())
    return path


def test_an_offer_shows_its_whole_text_and_what_differs_in_words(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    file = offered(tmp_path, changed(maxHold="P3BD"))
    assert run("render", str(file), "--html", str(out), "--against", str(written(tmp_path))) == 0
    text = checked(out.read_text())
    for words in (
        "An offer binds nobody yet",
        "Who signed it was not checked",
        "Valid until",
        "<ins>500</ins>",
        "<del>10 business days</del>",
        "<ins>3 business days</ins>",
        "<ins>when 25 business days have passed since the run closed</ins>",
        "No gag",
    ):
        assert words in text, words


def test_an_offer_nobody_can_accept_is_called_so(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    body = changed(maxHold="P3D")
    assert run("render", str(offered(tmp_path, body, n=0)), "--html", str(out)) == 0
    text = checked(out.read_text())
    assert "Neither side can accept this" in text
    assert "L6: " in text


def test_a_hostile_offer_stays_text(tmp_path: Path) -> None:
    usual = world_agreement.agreement()
    variants = (usual.variants[0].model_copy(update={"note": HOSTILE}), *usual.variants[1:])
    out = tmp_path / "page.html"
    hostile = offered(tmp_path, usual.model_copy(update={"variants": variants}))
    assert run("render", str(hostile), "--html", str(out), "--against", str(written(tmp_path))) == 0
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in checked(out.read_text())


def test_equal_texts_have_no_differences() -> None:
    usual = world_agreement.agreement()
    assert comparison("Differences", usual, usual, "a", "b").groups == ()


def test_a_page_is_compared_with_documents_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = tmp_path / "policy.json"
    policy.write_bytes(b"{}")
    file = offered(tmp_path, changed())
    assert run("render", str(file), "--html", str(tmp_path / "p.html"), "--against", str(policy)) != 0
    assert not (tmp_path / "p.html").exists()
    assert "Traceback" not in capsys.readouterr().err
