"""What an import did: every item is counted, as a task or with the reason why not; nothing of any item's text."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from auditor_client.suites.importers.candidate import LEFT_OUT
from auditor_client.suites.suspicion.finding import Finding

VERSION = "safeconduct-import/v1"


@dataclass(frozen=True)
class Place:
    """An item of a source that became no task, and the rule that says why."""

    file: str
    row: int
    rule: str


@dataclass(frozen=True)
class SourceRead:
    """One file that was read to its end."""

    file: str
    sha256: str
    bytes: int


@dataclass
class Report:
    """The whole account; `to_json` is the form of `import-report.json`."""

    format: str
    upstream: str
    licence: str
    licence_from: str
    seed: str
    dev_share: str
    caution: str = ""
    sources: list[SourceRead] = field(default_factory=list)
    left_out: list[Place] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    categories: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def kept(self) -> int:
        """How many items became tasks; controls that were added are not among them."""
        return sum(sum(kinds.values()) for kinds in self.categories.values())

    def count(self, category: str, kind: str) -> None:
        """Count one item that became a task."""
        self.kinds[kind] += 1
        self.categories[category][kind] += 1

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON types."""
        return {
            "report": VERSION,
            "format": self.format,
            "upstream": self.upstream,
            "licence": {"name": self.licence, "from": self.licence_from},
            "seed": self.seed,
            "devShare": self.dev_share,
            "caution": self.caution,
            "sources": [asdict(source) for source in self.sources],
            "items": {"read": self.kept + len(self.left_out), "kept": self.kept, "leftOut": len(self.left_out)},
            "kinds": dict(sorted(self.kinds.items())),
            "categories": {name: dict(sorted(kinds.items())) for name, kinds in sorted(self.categories.items())},
            "leftOut": [asdict(place) for place in self.left_out],
            "findings": [finding_json(finding) for finding in self.findings],
        }

    def to_bytes(self) -> bytes:
        """Return the report's file."""
        return (json.dumps(self.to_json(), indent=1) + "\n").encode()

    def lost(self) -> Iterable[tuple[str, int, str, str]]:
        """Give (rule, how many, first places, meaning) of the items that were left out, the commonest rule first."""
        places: Mapping[str, list[Place]] = defaultdict(list)
        for place in self.left_out:
            places[place.rule].append(place)
        for rule, found in sorted(places.items(), key=lambda item: -len(item[1])):
            first = ", ".join(f"{place.file} {place.row}" for place in found[:3])
            yield rule, len(found), first, LEFT_OUT[rule]


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return a finding as plain JSON types."""
    return {**finding._asdict(), "tasks": list(finding.tasks)}
