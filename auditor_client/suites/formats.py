"""What keeps the tasks of a suite from being asked in the formats of its arms, found before it is committed to."""

from __future__ import annotations

from collections.abc import Iterator

from attestations.answers import NORMALISATIONS, normalised
from attestations.formats import FORMATS
from attestations.scaffolds.formatted import AskedArm, format_faults
from auditor_client.frozen_suite import ROLES
from auditor_client.suites.arms import asked_arms, planned_formats
from auditor_client.suites.manifest import OVER_FORMATS, Manifest
from auditor_client.suites.suspicion.finding import Finding
from auditor_client.suites.tasks import ChoiceTask, Task


class Layout:
    """Takes every task of a suite, then says what cannot be laid out, and what of the plan does not hold together."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._arms = asked_arms(manifest)
        self._forms = [FORMATS[arm.format] for arm in self._arms if arm.format is not None]
        self._fixed: list[str] = []
        self._ambiguous: list[str] = []

    def take(self, task: Task) -> None:
        """Look at the next task; controls and canaries may be asked as they are in every format."""
        if not self._forms or (task.kind != "dev" and ROLES.get(task.kind) != "test"):
            return
        body = task.task
        if not isinstance(body, ChoiceTask) or body.scoring != "letter":
            self._fixed.append(task.id)
            return
        said = {normalised(option, NORMALISATIONS) for option in body.options}
        labels = {form.label(place).casefold() for form in self._forms for place in range(len(body.options))}
        if said & labels:
            self._ambiguous.append(task.id)

    def findings(self) -> Iterator[Finding]:
        """Give every finding."""
        manifest, formats = self._manifest, planned_formats(self._manifest)
        if self._fixed:
            message = (
                f"{len(self._fixed)} tasks cannot be asked in a format, {self._fixed[0]} first: "
                "what counts or is for DEV has to be a choice with `scoring: letter`"
            )
            yield Finding("error", "formats", message, tuple(self._fixed))
        if self._ambiguous:
            message = (
                f"{len(self._ambiguous)} tasks have an option that is a label of some format: an answer may name two"
            )
            yield Finding("warning", "formats", message, tuple(self._ambiguous))
        # Where a task is shown plays no part here, only whether two arms show the same.
        numbers = {name: at for at, name in enumerate(sorted({shot for arm in self._arms for shot in arm.shots}))}
        asked = [AskedArm(arm.arm(numbers), arm.variant, arm.epochs or manifest.plan.epochs) for arm in self._arms]
        for name, fault in format_faults(formats, asked):
            yield Finding("error", "formats", f"{name} {fault}")
        if formats and not manifest.plan.measured & OVER_FORMATS:
            message = "formats are asked, and the plan has no figure over them: plan the measure format_swing"
            yield Finding("warning", "formats", message)
