"""GSM8K, and others like it: a problem in words, a worked solution, and the number after `####`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from auditor_client.suites.importers.candidate import Candidate, LeftOut, Unusable, numeric, text_of
from auditor_client.suites.importers.options import Options, each, name_of, stem
from auditor_client.suites.importers.reading import SourceFile

_MARK = "####"


def read(file: SourceFile, _: Options) -> Iterator[Candidate | LeftOut]:
    """Give every item; the worked solution becomes the rubric. Without `####` the whole answer is the number."""
    category = name_of(stem(file.name))

    def make(row: int, value: Any) -> Candidate:
        solution, mark, number = text_of(value, "answer").rpartition(_MARK)
        body = numeric(text_of(value, "question").strip(), number.strip())
        if len(solution) > 20_000:  # noqa: PLR2004 - what a rubric may hold
            raise Unusable("too-long")
        return Candidate(row, category, body, more={"rubric": solution.strip()} if mark and solution.strip() else {})

    return each(file.objects(), make)
