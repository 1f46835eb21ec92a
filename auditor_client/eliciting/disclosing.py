"""Opens exactly the DEV tasks to the lab, and takes its answer in."""

from __future__ import annotations

from attestations.commitments import SuiteKey
from attestations.documents.elicitation import ElicitationPack
from attestations.documents.engagement import PreRegistration
from attestations.elicitation.course import Course
from attestations.elicitation.dev_file import OPENED, dev_lines
from attestations.envelope import Envelope
from attestations.errors import PhaseViolation, ReleasedContentMismatch
from attestations.keys import KeyUse
from attestations.merkle import Tree, leaf_hash
from attestations.views import Opening
from auditor_client.eliciting.arms import DEV, PACK
from auditor_client.engagement import Engagement
from auditor_client.frozen_suite import FrozenSuite
from auditor_client.ports import Journal


def dev_file(suite: FrozenSuite, key: SuiteKey, registration: PreRegistration) -> tuple[bytes, int]:
    """Return the file that opens the DEV tasks, and how many they are.

    Raises:
        PhaseViolation: the suite has no DEV task, or registers no arms to ask them in.
    """
    if registration.conduct is None or not any(task.kind == DEV for task in suite.tasks):
        raise PhaseViolation("the suite has no DEV tasks, or no arms to ask them in")
    leaves = list(suite.leaves(key))
    tree = Tree(leaf_hash(leaf.to_bytes()) for leaf in leaves)
    rows = []
    for task in suite.tasks:
        if task.kind != DEV:
            continue
        openings = [
            Opening(cls, task.i, path, key.class_key(cls).salt(task.i, path), value)
            for cls in OPENED
            for path, value in task.of_class(cls).items()
        ]
        rows.append((leaves[task.i], tree.inclusion(task.i, len(leaves)), openings))
    return dev_lines(registration.agreement, registration.suite, rows), len(rows)


async def accept_pack(
    envelope: Envelope, *, engagement: Engagement, course: Course, journal: Journal
) -> ElicitationPack:
    """Keep the lab's pack once it is the one the lab locked in the log.

    Raises:
        PhaseViolation: the lab has provided none in time.
        ReleasedContentMismatch: it is another one.
        SignatureInvalid: it is not signed with the lab's agreement key.
    """
    if course.answer is None or course.status not in ("provided", "providedButBroken"):
        raise PhaseViolation(f"the lab's answer in the log is: {course.status}")
    if course.answer.pack != envelope.digest:
        raise ReleasedContentMismatch("this is not the pack that the lab locked in the log")
    pack = engagement.opened(envelope, ElicitationPack, engagement.agreement.lab_key(KeyUse.AGREEMENT))
    engagement.belongs(pack.agreement)
    await journal.remember(PACK, envelope.to_bytes())
    return pack
