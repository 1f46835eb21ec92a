"""The registered arms as they can be asked now: from the plan, the lab's pack and the variants that were bound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from attestations.documents.asking import read_result
from attestations.documents.elicitation import ElicitationPack
from attestations.documents.engagement import PreRegistration, RegisteredArm
from attestations.documents.planning import AnalysisPlan
from attestations.envelope import parse_envelope
from attestations.errors import EvidenceMissing, PhaseViolation, PreRegistrationAltered
from attestations.formats import Format
from attestations.scaffolds.answers import Result
from attestations.scaffolds.cheating import signs_of_cheating
from attestations.scaffolds.method import Arm, Method
from attestations.scaffolds.playing import Ask, Submission, next_step
from attestations.scaffolds.prompting import laid_out
from attestations.scaffolds.task import Demonstration, Task, demonstration, task_of
from auditor_client.campaign_state import Item
from auditor_client.frozen_suite import FrozenSuite, FrozenTask
from auditor_client.intending import Question
from auditor_client.ports import Journal

REGISTRATION, PLAN, PACK = "registration", "plan", "pack"
BINDING = "binding/"  # and an arm's name: the variant that was fine-tuned for it
DEV = "dev"
_AS_SHIPPED = Method()
_AT_HAND = 64  # tasks kept as they are asked: more than any agreement has sessions at work


class Arms:
    """What every arm asks, as the journal holds it."""

    def __init__(self, suite: FrozenSuite, journal: Journal, *, variant: str = "") -> None:
        """Read the registration.

        Args:
            suite: the committed suite.
            journal: where registration, plan and pack are kept.
            variant: what is asked where no arms are registered.

        Raises:
            PhaseViolation: the suite is not registered.
        """
        kept = journal.recall(REGISTRATION)
        if kept is None:
            raise PhaseViolation("the suite is not registered yet: run `safeconduct auditor run`")
        self.registration = PreRegistration.parse(parse_envelope(kept).payload)
        self._suite = suite
        self._journal = journal
        self._variant = variant
        self._shots: dict[str, list[tuple[int, Demonstration]]] = {}
        self._at_hand: dict[tuple[int, str], Task] = {}

    @cached_property
    def plan(self) -> AnalysisPlan:
        """The registered plan."""
        kept = self._journal.recall(PLAN)
        if kept is None:
            raise PhaseViolation("the journal holds no plan: the suite was registered by an older version")
        return AnalysisPlan.parse(kept)

    @cached_property
    def pack(self) -> ElicitationPack | None:
        """The lab's pack, once it was read."""
        return accepted_pack(self._journal)

    @property
    def conduct(self) -> Sequence[RegisteredArm]:
        """What is registered of each arm; empty where none are."""
        return self.registration.conduct or ()

    @cached_property
    def definitions(self) -> Mapping[str, Arm]:
        """The planned arms by name."""
        return {arm.id: arm for arm in self.plan.arms or ()} if self.conduct else {}

    def variant(self, arm: str) -> str | None:
        """Return the variant that an arm asks, or None while it is not bound."""
        for known in self.conduct:
            if known.id == arm and known.variant is not None:
                return known.variant
        if not self.conduct:
            return self._variant
        bound = self._journal.recall(BINDING + arm)
        return None if bound is None else bound.decode()

    def method(self, arm: str) -> Method | None:
        """Return what an arm does, or None while the lab's pack is not here."""
        if not self.conduct:
            return _AS_SHIPPED
        found = self.definitions[arm]
        if found.source == "lab_pack":
            return None if self.pack is None else self.pack.method
        return found.method

    def ready(self) -> list[RegisteredArm]:
        """Return the arms that can be asked now."""
        return [arm for arm in self.conduct if self.variant(arm.id) and self.method(arm.id) is not None]

    def dev_items(self) -> Iterator[Item]:
        """Give every DEV task in every arm that can be asked now."""
        for task in self._suite.tasks:
            if task.kind == DEV:
                for arm in self.ready():
                    yield from (Item(task.i, arm.id, epoch) for epoch in range(arm.epochs))

    def question(self, item: Item, answers: Sequence[bytes]) -> Question | None:
        """Return what an item asks next, or None once it is answered."""
        variant = self.variant(item.arm)
        if variant is None:
            raise PhaseViolation("an arm is asked before its variant is bound", arm=item.arm)
        step = self.play(item.task, item.arm, answers)
        return Question(step.request, variant, step.sampling) if isinstance(step, Ask) else None

    def submission(self, task: int, arm: str, answers: Sequence[bytes]) -> Result | None:
        """Return what is graded of an item, or None where its attempt was not carried to its end."""
        if not answers:
            return None
        step = self.play(task, arm, answers)
        return step.result if isinstance(step, Submission) else None

    def form(self, task: int, arm: str) -> Format | None:
        """Return the format that an arm lays a task out in, or None where it is asked as committed."""
        method = self.method(arm)
        if method is None or method.format is None:
            return None
        return laid_out(method, task_of(self._suite.tasks[task].value("prompt")))

    def cheating(self, task: int, answers: Sequence[bytes]) -> int | None:
        """Return how many signs of cheating an item's transcript shows, or None of a task that has no workspace."""
        workspace = task_of(self._suite.tasks[task].value("prompt")).workspace
        return None if workspace is None else signs_of_cheating(workspace, [read_result(item) for item in answers])

    def play(self, task: int, arm: str, answers: Sequence[bytes]) -> Ask | Submission:
        """Return the next step of an item after these answers."""
        method = self.method(arm)
        if method is None:
            raise EvidenceMissing("the lab's elicitation pack is not here", arm=arm)
        results = [read_result(answer) for answer in answers]
        return next_step(method, self._task(task, arm, method), results)

    def _task(self, number: int, arm: str, method: Method) -> Task:
        # An item is looked at before and after each of its exchanges, and reading it from the file costs most of that.
        known = self._at_hand.pop((number, arm), None)
        if known is None:
            if arm not in self._shots:
                self._shots[arm] = shots(self._suite, method.shots)
            shown = [item for shot, item in self._shots[arm] if shot != number]  # never its own answer
            known = task_of(self._suite.tasks[number].value("prompt"), shown)
        self._at_hand[number, arm] = known
        while len(self._at_hand) > _AT_HAND:
            del self._at_hand[next(iter(self._at_hand))]
        return known


async def bind_variants(journal: Journal, registration: PreRegistration, bindings: Mapping[str, str]) -> None:
    """Keep which variant was fine-tuned for which arm; the same again changes nothing.

    Raises:
        PreRegistrationAltered: no such arm waits for a variant, or it was bound to another one.
    """
    waiting = {arm.id for arm in registration.conduct or () if arm.variant is None}
    for arm, variant in bindings.items():
        bound = journal.recall(BINDING + arm)
        if arm not in waiting or bound not in (None, variant.encode()):
            raise PreRegistrationAltered("an arm is bound that needs no variant, or that has another one", arm=arm)
        await journal.remember(BINDING + arm, variant.encode())


def shots(suite: FrozenSuite, numbers: Sequence[int]) -> list[tuple[int, Demonstration]]:
    """Return the demonstrations of these tasks; only DEV tasks whose right answer is one text are ever shown."""
    found = []
    for number in numbers:
        task: FrozenTask | None = suite.tasks[number] if number < len(suite.tasks) else None
        shown = demonstration(task.value("prompt"), task.value("target")) if task and task.kind == DEV else None
        if shown is not None:
            found.append((number, shown))
    return found


def accepted_pack(journal: Journal) -> ElicitationPack | None:
    """Return the lab's pack, once it was accepted."""
    kept = journal.recall(PACK)
    return None if kept is None else ElicitationPack.parse(parse_envelope(kept).payload)
