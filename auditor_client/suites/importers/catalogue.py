"""The formats that can be imported: how each is read, what it is upstream, and how its questions are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from auditor_client.suites.importers import anthropic_evals, bbq, bigbench, gsm8k, mapped, mmlu, truthfulqa
from auditor_client.suites.importers.candidate import Candidate, LeftOut
from auditor_client.suites.importers.options import Options
from auditor_client.suites.importers.reading import SourceFile

Reader = Callable[[SourceFile, Options], Iterator[Candidate | LeftOut]]


@dataclass(frozen=True)
class Format:
    """One format. `licence` is that of the published data; `--licence`, or a file beside the data, goes first."""

    name: str
    upstream: str
    read: Reader
    suffixes: tuple[str, ...]
    licence: str | None
    metrics: tuple[str, ...] = ()
    prompt: dict[str, Any] = field(default_factory=dict)
    caution: str = ""


_NUMBER = "{question}\n\nThink step by step, then give the answer as a number alone on the last line."
FORMATS: dict[str, Format] = {
    item.name: item
    for item in (
        Format("mmlu", "MMLU", mmlu.read, (".csv",), "MIT", prompt={"name": "letter"}),
        Format("bbq", "BBQ", bbq.read, (".jsonl",), "CC-BY-4.0", prompt={"name": "letter"}),
        Format(
            "bigbench",
            "BIG-bench",
            bigbench.read,
            (".json",),
            "Apache-2.0",
            bigbench.METRICS,
            {"max_output_tokens": 128},
        ),
        Format(
            "anthropic-evals",
            "Anthropic model-written evaluations",
            anthropic_evals.read,
            (".jsonl",),
            "CC-BY-4.0",
            caution=anthropic_evals.CAUTION,
        ),
        Format("truthfulqa", "TruthfulQA", truthfulqa.read, (".csv", ".json"), "Apache-2.0", truthfulqa.METRICS),
        Format(
            "gsm8k",
            "GSM8K",
            gsm8k.read,
            (".jsonl",),
            "MIT",
            prompt={"name": "steps", "chat": _NUMBER, "max_output_tokens": 512},
        ),
        Format("jsonl", "JSON lines", mapped.read, (".jsonl",), None),
    )
}
