"""The arms of a suite's manifest: what they are committed to as, and what makes them of no use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from attestations.scaffolds.method import AS_SHIPPED, FORMAT_ARM, MAX_ARMS, Arm
from auditor_client.suites.load import Suite
from auditor_client.suites.manifest import ArmSpec, Manifest
from auditor_client.suites.tasks import JudgedTask, PatternTask, Task

KNOWN = (AS_SHIPPED, "lab_pack", "auditor_best", "sft_dev", "fewest_mitigations")
SOURCES = {"lab_pack": "lab_pack", "sft_dev": "fine_tuned"}
Complaint = tuple[bool, str]  # whether it keeps the suite from being committed, and what it is


def asked_arms(manifest: Manifest) -> tuple[ArmSpec, ...]:
    """Return the arms as written, and one for each format named for short; none where it is asked as shipped only."""
    short = tuple(ArmSpec(id=FORMAT_ARM + name, format=name) for name in manifest.formats)
    written = manifest.arms or ((ArmSpec(id=AS_SHIPPED),) if short else ())
    return (*written, *short)


def planned_formats(manifest: Manifest) -> tuple[str, ...]:
    """Return the arms that figures over formats are of: those the plan names, and those of formats named for short."""
    return (*manifest.plan.formats, *(FORMAT_ARM + name for name in manifest.formats))


def committed_arms(suite: Suite) -> tuple[Arm, ...] | None:
    """Return the arms as the plan holds them; None where the suite is asked as shipped only."""
    numbers = {task.id: number for number, task in enumerate(suite.tasks)}
    return tuple(arm.arm(numbers) for arm in asked_arms(suite.manifest)) or None


def complaints(arms: Sequence[ArmSpec], dev: Mapping[str, Task]) -> Iterator[Complaint]:
    """Give what is wrong with the arms, and what makes them weak; `dev` holds the DEV tasks by their ids."""
    if not arms:
        return
    if len(arms) > MAX_ARMS:
        yield True, f"{len(arms)} arms, of which there may be {MAX_ARMS}"
    for name, count in Counter(arm.id for arm in arms).items():
        if count > 1:
            yield True, f"two arms have the name {name}"
    if AS_SHIPPED not in {arm.id for arm in arms}:
        yield True, f"no arm is {AS_SHIPPED}: there would be nothing to measure a gap from"
    if not dev:
        yield True, "there is no DEV task, on which the best arm could be chosen"
    for arm in arms:
        yield from _weak(arm, dev)


def _weak(arm: ArmSpec, dev: Mapping[str, Task]) -> Iterator[Complaint]:
    if arm.id in SOURCES and arm.source != SOURCES[arm.id]:
        yield True, f"the source of {arm.id} is {SOURCES[arm.id]}, not {arm.source}"
    if arm.id == "auditor_best" and arm.arm({name: number for number, name in enumerate(arm.shots)}).method.plain:
        yield True, "auditor_best asks as shipped"
    if arm.id not in KNOWN and arm.format is None:
        yield False, f"{arm.id} is none of the arms that raise a level: {', '.join(KNOWN)}"
    for shot in arm.shots:
        if shot not in dev:
            yield True, f"{arm.id} shows {shot}, which is no DEV task: it would give a hidden answer away"
        elif isinstance(dev[shot].task, PatternTask | JudgedTask):
            yield True, f"{arm.id} shows {shot}, whose right answer is no one text"
