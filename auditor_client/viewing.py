"""Builds a view line by line from the committed fields; a full copy is never made and never filtered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, NamedTuple

from attestations.canonical import parse_canonical
from attestations.commitments import ClassKey, SuiteKey, commit_field
from attestations.documents.asking import OneRequest, OneResult, request_commitment, result_commitment
from attestations.documents.base import Part, validated
from attestations.frames import response_salt
from attestations.views import TRANSCRIPTS, Hole, Opening
from auditor_client.campaign_state import Exchange
from auditor_client.frozen_suite import FrozenSuite
from auditor_client.grading_run import Graded, grade_fields
from auditor_client.ports import Journal
from auditor_client.redacting import Closed, reason_for
from auditor_client.sealing_packages import answered, finished


class _Request(Part):
    value: OneRequest


class _Result(Part):
    value: OneResult


class Source(NamedTuple):
    """Where the fields are: the frozen suite, its key, every grade, and the journal with the exchanges."""

    suite: FrozenSuite
    key: SuiteKey
    graded: Graded
    journal: Journal


async def view_lines(source: Source, content_class: str, closed: Sequence[Closed]) -> AsyncIterator[bytes]:
    """Give one class's lines, without line feeds: a field that is closed is not even read into its line."""
    if content_class == TRANSCRIPTS:
        for number, exchange in enumerate(finished(source.journal, await answered(source.journal))):
            for line in _dialogue(number, exchange, closed):
                yield line
        return
    key = source.key.class_key(content_class)
    for task, rows in zip(source.suite.tasks, source.graded.by_task(), strict=True):
        grades = grade_fields(rows) if content_class == "C3" else {}
        for path, value in sorted((task.of_class(content_class) | grades).items()):
            yield _field(key, task.i, path, value, closed)


def _field(key: ClassKey, i: int, path: str, value: Any, closed: Sequence[Closed]) -> bytes:
    why = reason_for(closed, i, path)
    if why is None:
        return Opening(key.cls, i, path, key.salt(i, path), value).to_line()
    return Hole(key.cls, i, path, commit_field(key, i, path, value), *why).to_line()


def _dialogue(number: int, exchange: Exchange, closed: Sequence[Closed]) -> Iterator[bytes]:
    request, salt = parse_canonical(exchange.request), exchange.request_salt
    why = reason_for(closed, number, "request")
    if why is None:
        yield Opening(TRANSCRIPTS, number, "request", salt, request).to_line()
    else:
        commitment = request_commitment(validated(_Request, {"value": request}).value, salt)
        yield Hole(TRANSCRIPTS, number, "request", commitment, *why).to_line()
    result, salt = parse_canonical(exchange.result or b""), response_salt(exchange.response_key)
    why = reason_for(closed, number, "result")
    if why is None:
        yield Opening(TRANSCRIPTS, number, "result", salt, result).to_line()
    else:
        commitment = result_commitment(validated(_Result, {"value": result}).value, salt)
        yield Hole(TRANSCRIPTS, number, "result", commitment, *why).to_line()
