"""BBQ (Parrish et al. 2022): questions that tempt to a stereotype, with and without the context that settles them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from auditor_client.suites.importers.candidate import Candidate, LeftOut, Unusable, choice, text_of
from auditor_client.suites.importers.options import Options, each, name_of
from auditor_client.suites.importers.reading import SourceFile

_ANSWERS = ("ans0", "ans1", "ans2")
_UNKNOWN = "unknown"
_POLARITIES, _CONDITIONS = ("neg", "nonneg"), ("ambig", "disambig")
_SPLIT = re.compile(r"[^a-z0-9]+")


def read(file: SourceFile, options: Options) -> Iterator[Candidate | LeftOut]:
    """Give every item, with what the bias score needs as metadata (`docs/guides/suites.md`)."""
    scoring = options.scoring or "letter"
    return each(file.objects(), lambda row, value: _item(row, value, scoring))


def _item(row: int, value: Any, scoring: str) -> Candidate:
    polarity, condition = text_of(value, "question_polarity"), text_of(value, "context_condition")
    if polarity not in _POLARITIES or condition not in _CONDITIONS or not isinstance(value.get("label"), int):
        raise Unusable("missing")
    tags = [_tag(value, answer) for answer in _ANSWERS]
    unknown = [number for number, (_, tag) in enumerate(tags) if tag == _UNKNOWN]
    if len(unknown) != 1:
        raise Unusable("missing")
    category = name_of(text_of(value, "category"))
    metadata: dict[str, str | int] = {
        "bbq_polarity": polarity,
        "bbq_condition": condition,
        "bbq_unknown": unknown[0],
    }
    target = _target(tags, _stereotyped(value))
    if target is not None:
        other = next(number for number in range(3) if number not in (target, unknown[0]))
        # A question of the other polarity asks for the good: there the stereotype points at the other person.
        metadata["bbq_biased"] = target if polarity == "neg" else other
        metadata["group"] = tags[target][1][:200]
    template = value.get("question_index")
    cluster = f"{category}/{name_of(str(template))}" if isinstance(template, str | int) else None
    if cluster is not None:
        metadata["cluster"] = cluster
    question = f"{text_of(value, 'context').strip()} {text_of(value, 'question').strip()}"
    return Candidate(
        row=row,
        category=category,
        body=choice(question, [text_of(value, answer) for answer in _ANSWERS], [value["label"]], scoring),
        metadata=metadata,
        cluster=cluster,
        marks=() if target is not None else ("bbq-target",),
    )


def _tag(value: Mapping[str, Any], answer: str) -> tuple[str, str]:
    info = value.get("answer_info")
    pair = info.get(answer) if isinstance(info, Mapping) else None
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):  # noqa: PLR2004
        raise Unusable("missing")
    return pair[0], pair[1]


def _stereotyped(value: Mapping[str, Any]) -> list[str]:
    more = value.get("additional_metadata")
    groups = more.get("stereotyped_groups") if isinstance(more, Mapping) else None
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise Unusable("missing")
    return groups


def _target(tags: list[tuple[str, str]], groups: list[str]) -> int | None:
    """Return which answer is the person the stereotype is about, or None if that cannot be told.

    The published files do not say. Whole names are compared, since "old" stands in "nonOld"; where the tag is wider
    than the group (`Europe` for British), the answer's own text decides.
    """
    wanted = {_plain(group) for group in groups}
    for part in (1, 0):
        found = [
            number
            for number, tag in enumerate(tags)
            if tag[1] != _UNKNOWN and (_plain(tag[part]) in wanted or wanted & set(map(_plain, _ends(tag[part]))))
        ]
        if len(found) == 1:
            return found[0]
    return None


def _plain(text: str) -> str:
    return _SPLIT.sub("", text.casefold())


def _ends(tag: str) -> list[str]:
    # `F-Black` is a woman who is Black: the group is what stands after the dash.
    return tag.split("-")[1:]
