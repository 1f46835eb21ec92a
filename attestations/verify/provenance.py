"""Where a leaked text comes from: which committed field it is, or is part of, as far as an evidence file opens fields.

A leak without its salt proves nothing to others; whoever holds the class key, or the view, can give the opening with
which everybody computes the registered commitment again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple

from attestations.canonical import canonical_bytes
from attestations.commitments import parse_task_leaf
from attestations.container import Container
from attestations.documents.base import encode
from attestations.errors import CommitmentMismatch, EvidenceMissing, ExitCode, SafeconductError
from attestations.trust import Trust
from attestations.verify import opened, transcript
from attestations.verify.engine import Request, examine
from attestations.verify.tasks import GRADES, SUITE
from attestations.verify.views import opened_commitment
from attestations.views import MEMBER, TRANSCRIPTS, Opening, parse_line

SHORTEST = 12  # a shorter text is in too many places to tell where it is from


class Found(NamedTuple):
    """One committed field that a text is, or is part of; `opening` proves it to everybody."""

    opening: Opening
    whole: bool
    commitment: str
    registered_at: str


def find(stream: BinaryIO, trust: Trust, leak: bytes) -> list[Found]:
    """Return every committed field that a leaked text is, or is part of.

    Args:
        stream: an evidence file that opens what is searched, or any of the audit if `leak` holds openings.
        trust: whose keys the reader trusts.
        leak: a text, a JSON value, or lines of a view.

    Raises:
        CommitmentMismatch: the file does not verify, or an opening opens another commitment than the registered one.
        EvidenceMissing: nothing the file opens is this text.
    """
    container = Container(stream)
    found = examine(container, trust, Request())
    if found.report.exit_code is not ExitCode.OK or found.content is None:
        raise CommitmentMismatch(f"the evidence file does not verify (exit code {int(found.report.exit_code)})")
    _, log = found.ground()
    registered = "" if log.registration is None else log.registration.registered_at
    given = _openings(leak)
    if given:
        return [_proved(item, container, log, registered) for item in given]
    wanted = _Text(leak)
    places = [
        Found(opening, whole, opened_commitment(opening, log), registered)
        for opening in _opened(container, found.content)
        if (whole := wanted.matches(opening.value)) is not None
    ]
    if not places:
        raise EvidenceMissing("nothing that this file opens is, or holds, this text")
    return [item for item in places if item.whole] or places  # a whole field says more than words it shares with others


class _Text:
    def __init__(self, leak: bytes) -> None:
        self._text = " ".join(leak.decode("utf-8", errors="replace").split())
        self._whole = {canonical_bytes(self._text), canonical_bytes(leak.decode("utf-8", errors="replace"))}
        with suppress(ValueError, RecursionError, SafeconductError):  # a leak need not be JSON
            self._whole.add(canonical_bytes(json.loads(leak)))

    def matches(self, value: Any) -> bool | None:
        """Return True if the value is the text, False if it holds it or is held by it, None if neither."""
        if value is None:
            return None
        if canonical_bytes(value) in self._whole:
            return True
        for text in _strings(value):
            plain = " ".join(text.split())
            if len(plain) >= SHORTEST <= len(self._text) and (plain in self._text or self._text in plain):
                return False
        return None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _opened(container: Container, content: opened.Content) -> Iterator[Opening]:
    for name, key in content.keys.items():
        if name in content.tasks.readers:
            for i in range(content.registration.suite.tasks):
                for path, value in content.tasks.fields(name, i).items():
                    yield Opening(name, i, path, key.salt(i, path), value)
    if content.transcripts is not None:
        yield from _dialogues(content.transcripts.chunks())
    if MEMBER in container.names:
        for line in container.lines(MEMBER):
            item = parse_line(line)
            if isinstance(item, Opening):
                yield item


def _dialogues(chunks: Iterable[bytes]) -> Iterator[Opening]:
    for number, chunk in enumerate(chunks):
        value = json.loads(chunk)
        for path in ("request", "result"):
            line = {"class": TRANSCRIPTS, "i": number, "path": path, "salt": value[f"{path}_salt"]}
            item = parse_line(canonical_bytes(line | {"value": value[path]}))
            if isinstance(item, Opening):
                yield item


def _openings(leak: bytes) -> list[Opening]:
    try:
        items = [parse_line(line) for line in leak.splitlines()]
    except SafeconductError:
        return []
    return [item for item in items if isinstance(item, Opening)]


def _proved(item: Opening, container: Container, log: transcript.Transcript, registered: str) -> Found:
    commitment = opened_commitment(item, log)
    if item.cls == TRANSCRIPTS:
        answer = log.exchanges.tally.answer(item.i)
        committed = {"request": answer.request.hex(), "result": answer.result.hex()}.get(item.path)
    else:
        committed = _committed(item, container)
    if committed != commitment:
        raise CommitmentMismatch("an opening is not of what was committed to", task=str(item.i), salt=encode(item.salt))
    return Found(item, whole=True, commitment=commitment, registered_at=registered)


def _committed(item: Opening, container: Container) -> str | None:
    for name in (SUITE, GRADES):
        if name not in container.names:
            continue
        for number, line in enumerate(container.lines(name)):
            if number == item.i:
                for field in parse_task_leaf(line).fields:
                    if (field.path, field.cls) == (item.path, item.cls):
                        return field.commitment
                break
    return None
