"""Pages: everything there is to sign stands in them, nothing in a document can become markup, nothing is fetched."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from attestations.cli import main
from attestations.envelope import sign_document
from attestations.policy.evaluate import Bounds, Seen
from attestations.policy.simulate import simulate
from attestations.rendering.pages import page
from attestations.rendering.simulation_view import event_rows, state_rows
from attestations.rendering.timeline import picture
from attestations.templates.catalogue import TEMPLATES
from tests.support import world_agreement
from tests.support.world import World
from tests.support.world_suite import make_tasks

HOSTILE = '</td><script>alert(1)</script><img src=x onerror="alert(1)">\u202egnp.exe\x07{{ 7*7 }}'
TAGS = {"script", "img", "iframe", "object", "embed", "link", "form", "a", "base"}
DAY = datetime(2026, 12, 1, tzinfo=UTC)


class Reader(HTMLParser):
    """Collects elements and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(text: str) -> str:
    """Check that a page is well formed, self-contained and without scripts; return it."""
    reader = Reader(text)
    assert reader.open == []
    assert not TAGS & set(reader.tags)
    assert not [name for name, _ in reader.attributes if name.startswith("on") or name in {"src", "href", "style"}]
    assert "default-src 'none'" in text
    assert '<html lang="en">' in text
    assert not re.findall(r"url\((?!#)", text)
    assert "<h1>" in text
    return text


def written(folder: Path, *, note: str = "", wording: str = "", both: bool = True) -> Path:
    """Write an agreement with somebody's words in it."""
    value = world_agreement.agreement().json_value()
    value["variants"][0]["note"] = note
    if wording:
        value["clauses"]["wording"] = [{"clause": "nogag", "text": wording}, {"clause": "law", "text": wording}]
    keys = world_agreement.keys()
    signers = (keys.lab_agreement, keys.agreement) if both else (keys.agreement,)
    path = folder / "agreement.dsse.json"
    document = world_agreement.agreement(variants=value["variants"], clauses=value["clauses"])
    path.write_bytes(sign_document(document, *signers).to_bytes())
    return path


def trusted(folder: Path) -> str:
    path = folder / "trust.json"
    path.write_text(json.dumps(world_agreement.trust().json_value()))
    return str(path)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_an_agreement_says_who_signed_and_what(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert run("render", str(written(tmp_path)), "--html", str(out), "--trust", trusted(tmp_path)) == 0
    text = checked(out.read_text())
    for words in (
        "Signed by both sides",
        "lab.example",
        "No gag",
        "Safe harbour",
        "Ending early",
        "The public",
        "may be",
    ):
        assert words in text, words


@pytest.mark.parametrize(
    ("both", "trust", "words"),
    [(True, False, "Not checked"), (False, True, "Not in force"), (True, True, "Signed by both")],
)
def test_what_was_not_checked_is_not_said(both: bool, trust: bool, words: str, tmp_path: Path) -> None:  # noqa: FBT001
    out = tmp_path / "page.html"
    more = ("--trust", trusted(tmp_path)) if trust else ()
    assert run("render", str(written(tmp_path, both=both)), "--html", str(out), *more) == 0
    assert words in checked(out.read_text())


def test_a_hostile_text_stays_text(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert run("render", str(written(tmp_path, note=HOSTILE, wording=HOSTILE)), "--html", str(out)) == 0
    text = checked(out.read_text())
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert text.count("[U+202E]gnp.exe[U+0007]{{ 7*7 }}") == 3


def test_a_release_log_is_shown_from_checked_evidence_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, file = tmp_path / "page.html", tmp_path / "evidence-S3.zip"
    data = World(tasks=make_tasks(12)).evidence("S3")
    file.write_bytes(data)
    assert run("render", str(file), "--html", str(out)) != 0
    assert "give --trust" in capsys.readouterr().err
    assert run("render", str(file), "--html", str(out), "--trust", trusted(tmp_path)) == 0
    text = checked(out.read_text())
    assert "The evidence holds" in text
    assert text.count("permitted</td>") >= 3


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_a_simulation_is_a_table_and_a_picture(template: object, tmp_path: Path) -> None:
    policy = template.terms(("trustee",)).policy  # type: ignore[attr-defined]
    simulation = simulate(policy, [Seen("RUN_CLOSED", None, Bounds(DAY, DAY))])
    text = page(
        "simulation.html", events=event_rows(simulation), rows=state_rows(simulation), picture=picture(simulation)
    )
    assert "<svg" in checked(text)


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04garbage", b"\xff\xfe", b"[]", b'{"payloadType": 1}'])
@pytest.mark.parametrize("command", ["lint", "explain", "simulate", "render"])
def test_garbage_gets_one_sentence_and_a_code(
    command: str, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "given", str(tmp_path / "page.html")
    file.write_bytes(content)
    if command == "render":
        code = run("render", str(file), "--html", out, "--trust", trusted(tmp_path))
    else:
        code = run("policy", command, str(file))
    said = capsys.readouterr().err.strip()
    assert code in {10, 81}, said
    assert said.startswith("safeconduct: ")
    assert said.endswith("]")
    assert "\n" not in said
