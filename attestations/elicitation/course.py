"""What the log says of elicitation: DEV disclosed, the lab's answer, TEST begun; the same for both sides and readers.

Nothing here can tell DEV from TEST exchanges: who holds the link key checks that (`attestations.verify.schedule`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from attestations.documents.agreement import Agreement
from attestations.documents.elicitation import DevDisclosure, PackAnswer, RunStart
from attestations.documents.engagement import PreRegistration
from attestations.errors import PackTooLate, PhaseViolation
from attestations.policy.evaluate import Bounds
from attestations.scaffolds.method import AS_SHIPPED

PackStatus = Literal["notAsked", "notProvided", "provided", "declined", "late", "providedButBroken"]
LAB_PACK, FEWEST = "lab_pack", "fewest_mitigations"
_FEWEST_KINDS = ("helpful_only", "safeguards_off")


@dataclass
class Course:
    """Grows with the log's statements; times are bounds, because one side's clock gave them."""

    disclosed: DevDisclosure | None = None
    answer: PackAnswer | None = None
    late: bool = False
    start: RunStart | None = None
    start_digest: str | None = None
    _asked_at: Bounds | None = None

    def check(self, step: DevDisclosure | PackAnswer | RunStart, at: Bounds, days: int | None) -> None:
        """Raise why a statement would count for nothing; `days` is how long the lab was given to answer.

        Raises:
            PhaseViolation: it comes twice, before its time or after it.
        """
        if isinstance(step, DevDisclosure):
            if self.disclosed is not None or self.start is not None:
                raise PhaseViolation("DEV tasks are disclosed once, before TEST begins")
        elif isinstance(step, PackAnswer):
            if self.disclosed is None:
                raise PhaseViolation("no DEV tasks were disclosed, so no elicitation pack was asked for")
            if self.answer is not None:
                raise PhaseViolation("the lab has answered the DEV tasks already")
        else:
            if self.start is not None:
                raise PhaseViolation("TEST begins once")
            if self.answer is None and days is not None and self._asked_at is not None:
                until = self._asked_at.lower + timedelta(days=days)
                if at.upper < until:
                    raise PhaseViolation(f"the lab still has time to answer the DEV tasks, until {until:%Y-%m-%d}")

    def take(self, step: DevDisclosure | PackAnswer | RunStart, digest: str, at: Bounds) -> None:
        """Take a statement that counts into account."""
        if isinstance(step, DevDisclosure):
            self.disclosed, self._asked_at = step, at
        elif isinstance(step, PackAnswer):
            self.answer, self.late = step, self.start is not None
        else:
            self.start, self.start_digest = step, digest

    def check_in_time(self) -> None:
        """Refuse a pack that can no longer be used.

        Raises:
            PackTooLate: TEST has begun.
        """
        if self.start is not None:
            raise PackTooLate("TEST has begun; a pack that is submitted now is attested as late")

    def waits_until(self, days: int | None, now: datetime) -> str | None:
        """Return until when TEST has to wait for the lab's answer, or None where nothing is waited for."""
        if self._asked_at is None or self.answer is not None or self.start is not None or days is None:
            return None
        until = self._asked_at.upper + timedelta(days=days)
        return f"{until:%Y-%m-%d %H:%M} UTC" if now < until else None

    @property
    def status(self) -> PackStatus:
        """How the lab answered the DEV tasks."""
        if self.disclosed is None:
            return "notAsked"
        if self.answer is None:
            return "notProvided"
        if self.answer.status == "declined":
            return "declined"
        if self.late:
            return "late"
        broken = self.start is not None and any(arm.dropped == "pack_broken" for arm in self.start.arms)
        return "providedButBroken" if broken else "provided"

    def running(self, registration: PreRegistration) -> tuple[str, ...]:
        """Return the registered arms that TEST is asked in; all of them where none could be dropped."""
        if registration.conduct is None:
            return registration.arms
        return () if self.start is None else tuple(arm.id for arm in self.start.arms if arm.dropped is None)

    def variant(self, arm: str) -> str | None:
        """Return the variant that an arm asks."""
        return None if self.start is None else next((item.variant for item in self.start.arms if item.id == arm), None)


@dataclass(frozen=True)
class Established:
    """What the log establishes for the elicitation ladder."""

    arms: tuple[str, ...] = ()
    asked: bool = False  # DEV was disclosed, and how the lab answered stands in the log before TEST
    fine_tuned: bool = False  # an arm ran on what, by a signed record, was trained from the model as shipped
    fewest: bool = False


def established(
    registration: PreRegistration | None, course: Course, agreement: Agreement, trained: frozenset[str] = frozenset()
) -> Established:
    """Return what an audit did to elicit the model; `trained` are the variants that signed records say were trained."""
    if registration is None:
        return Established()
    arms = course.running(registration)
    if registration.conduct is None or course.start is None:
        return Established(arms)
    variants = {arm: course.variant(arm) or "" for arm in arms}
    mild = {variant.id for variant in agreement.variants if variant.kind in _FEWEST_KINDS}
    bound = {item.id for item in registration.conduct if item.variant is None}
    return Established(
        arms=arms,
        asked=course.status != "notAsked",
        fine_tuned=any(
            variants[arm] in trained and variants[arm].partition("+")[0] == variants.get(AS_SHIPPED)
            for arm in arms
            if arm in bound
        ),
        fewest=variants.get(FEWEST) in mild,
    )
