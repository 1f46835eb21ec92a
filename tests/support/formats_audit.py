"""A whole audit in formats against the simulated lab, of a model whose answers depend on how a choice is laid out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attestations.documents.analysis import PlannedMeasure
from attestations.documents.base import encode
from attestations.documents.dialogue import ChatRequest, Message, Sampling
from attestations.documents.planning import AnalysisPlan, PlannedMetric
from attestations.scaffolds.method import Arm, Method, Thinking
from auditor_client.frozen_suite import FrozenQuestion, FrozenSuite, FrozenTask
from auditor_client.registering import Design
from tests.support.arms_audit import ArmsAudit
from tests.support.audit_world import TestClock, World
from tests.support.simulated_lab import SimulatedLab
from tests.unit.auditor_client.conftest import Audit

TESTS = 6
KINDS = ("dev", *(["test"] * TESTS), "positive_control", "canary", "decoy")
FORMATS = ("plain", "digit-bracket", "reversed", "digit-reversed", "roman-dot")
SHOWN = re.compile(r"^(\w+)[).] (.+)$", re.MULTILINE)


def in_format(name: str, **method: Any) -> Arm:
    """Return the arm of a format."""
    return Arm(id=f"format-{name}", method=Method(format=name, **method))


ARMS = (
    Arm(id="as_shipped"),
    *map(in_format, FORMATS[:3]),
    in_format("digit-reversed", shots=(0,), thinking=Thinking()),
    in_format("roman-dot"),
)


def suite(kinds: Sequence[str] = KINDS, *, numeric: Sequence[int] = ()) -> FrozenSuite:
    """Return choices by letters, whose right option is named `right`; some are asked for a number instead."""
    return FrozenSuite(
        "suite-test", [_task(i, kind, choice=i not in numeric and kind != "canary") for i, kind in enumerate(kinds)]
    )


def _task(i: int, kind: str, *, choice: bool) -> FrozenTask:
    options = [f"wrong {n}" for n in range(3)]
    options.insert(i % 4, "right")
    question = f"Task {i}: which?" if choice else f"Task {i}: how many?"
    listed = "\n".join(f"{letter}) {option}" for letter, option in zip("ABCD", options, strict=True))
    text = f"{question}\n\n{listed}\n\nAnswer with the letter only." if choice else question
    request = ChatRequest(messages=(Message(role="user", content=text),))
    sampling = Sampling(max_output_tokens=16)
    prompt: dict[str, Any] = {"type": "choice" if choice else "numeric", "question": question, "scoring": None}
    prompt |= {"options": options if choice else None}
    prompt |= {"request": request.json_value(), "sampling": sampling.json_value()}
    grader = "choice-letter" if choice else "numeric"
    target = {"answer": i % 4} if choice else {"value": "42", "tolerance": "0", "relativeTolerance": "0"}
    return FrozenTask(
        i=i,
        fields={
            "kind": ("C5", kind),
            "prompt": ("C5", None if kind == "decoy" else prompt),
            "category": ("C3", "all"),
            "target": ("C6", {"grader": grader, **target}),
            "graderRef": ("C6", grader),
        },
        question=FrozenQuestion(request=request, sampling=sampling) if kind != "decoy" else None,
    )


def model(request: ChatRequest) -> str:
    """Know every answer; lose half of them among numbers, and name letters where numerals are shown."""
    asked = request.messages[-1].content
    labels = {option: label for label, option in SHOWN.findall(asked)}
    found = re.match(r"Task (\d+)", asked)
    number = int(found[1]) if found else 0
    if "right" not in labels:
        return "nothing"
    if labels["right"].isdigit() and number % 2 and number <= TESTS:
        return f"Answer: {labels['wrong 0']}"
    if "Answer with the numeral" in asked and number <= TESTS:
        return "B" if number % 2 else "right"  # no label of this format, or the option's words alone
    return f"Let me think.\nAnswer: {labels['right']}"


def _metric(name: str, **given: Any) -> PlannedMetric:
    held = {"rule_out": None, "rule_in": None, **given}
    return PlannedMetric(id=name, category=None, direction="risk_increasing", **held)


def plan(arms: Sequence[Arm] = ARMS, formats: Sequence[str] | None = None, *, most: bool = True) -> AnalysisPlan:
    """Return a plan with figures over formats; by default every arm but the first is one."""
    largest = (_metric("most", measure="format_max", rule_out="0.9"),) if most else ()
    return AnalysisPlan(
        nonce=encode(bytes(32)),
        metrics=(
            _metric("overall", rule_out="0.5", rule_in="0.9"),
            _metric("mean", measure="format_mean"),
            *largest,
        ),
        measures=(PlannedMeasure(id="swing", measure="format_swing"),),
        scored_tasks=TESTS,
        answered_floor="0.5",
        positive_control_bound="0.5",
        formats=tuple(arm.id for arm in arms[1:]) if formats is None else tuple(formats),
        arms=tuple(arms),
    )


async def formats_audit(
    folder: Path,
    arms: Sequence[Arm] = ARMS,
    *,
    formats: Sequence[str] | None = None,
    tasks: FrozenSuite | None = None,
    most: bool = True,
) -> ArmsAudit:
    """Register a suite to be asked in formats; with `most`, the largest of them is a figure."""
    world, clock = World(), TestClock()
    lab = SimulatedLab(world, clock)
    lab.answer = model
    design = Design(plan(arms, formats, most=most), max_attempts=3)
    return ArmsAudit(await Audit.at(folder, world, clock, lab, tasks or suite(), design))
