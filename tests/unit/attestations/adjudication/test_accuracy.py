"""I19: a party that kept to the protocol is never blamed, whatever the other side puts forward or leaves out.

Every pair of behaviours below is played out with real signed documents, and every selection of them is judged.
Where one side is honest the other may also forge, rearrange and invent; Hypothesis does that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import chain, combinations, product
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings, strategies as st

from attestations.adjudication.case import Fork
from attestations.adjudication.evidence import Evidence, weigh
from attestations.adjudication.rules import blame
from attestations.canonical import canonical_bytes
from attestations.documents.base import format_time
from attestations.envelope import Envelope, sign
from attestations.keys import Signer
from attestations.verify.parties import read_agreement
from tests.support import world_agreement
from tests.support.dispute import PATIENCE, START, Desk, fork_of
from tests.support.world_agreement import keys

LAB = ("honest", "no_promise", "promise_no_record", "two_records", "two_answers", "two_roots", "rollback", "denies")
AUDITOR = ("honest", "two_intents", "denies", "complains", "abuses_relay", "forges")
N = 2


class Played(NamedTuple):
    """What both sides hold at the end of one run."""

    documents: tuple[Envelope, ...]
    notes: tuple[str, ...]
    forks: tuple[Fork, ...]


def play(lab: str, auditor: str, *, relay: bool) -> Played:
    """Play two exchanges in one session; the second is where either side may stray."""
    desk = Desk(relay=relay)
    shown: list[Envelope] = [desk.grant(1)]
    leaves, index, prev = [b"leaf 0", b"leaf 1"], 2, desk.grant(1).digest
    for seq in range(N):
        strays = seq == N - 1
        intent = desk.intent(seq, prev=prev)
        shown.append(intent)
        if auditor == "two_intents" and strays:
            shown.append(desk.intent(seq, prev=prev, label="other"))
        if lab == "no_promise" and strays:
            shown += [desk.receipt(intent, at=START)] * relay
            continue
        promise = desk.promise(intent, index)
        shown += [promise, *[desk.receipt(intent, at=START, answer=promise)] * relay]
        leaves.append(promise.to_bytes())
        if lab == "two_answers" and strays:
            shown.append(desk.refusal(intent, index + 5))
        if lab == "promise_no_record" and strays:
            shown += [desk.receipt(promise)] * relay
            continue
        record = desk.record(promise, index + 1)
        shown += [record, *[desk.receipt(promise, answer=record)] * relay]
        leaves.append(record.to_bytes())
        index, prev = index + 2, record.digest
        if lab == "two_records" and strays:
            shown.append(desk.record(promise, index + 7, code="BACKEND_STALLED"))
        if relay and auditor == "abuses_relay":
            shown += abuse(desk, intent, promise)
    shown += denials(desk, lab, auditor, shown) + elsewhere(relay=relay)
    if auditor == "forges":
        shown += forgeries(desk, shown)
    notes, forks = histories(desk, lab, leaves)
    return Played(tuple(dict.fromkeys(shown)), notes, forks)


def abuse(desk: Desk, intent: Envelope, promise: Envelope) -> list[Envelope]:
    """What an honest relay truthfully says of an honest lab that owes no answer."""
    return [
        desk.receipt(intent, wait=60),
        desk.receipt(intent, at=START + timedelta(days=90)),
        desk.receipt(promise, at=START, wait=PATIENCE),
        desk.receipt(desk.grant(1)),
        desk.receipt(desk.intent(9, by=keys().outsider)),
    ]


def denials(desk: Desk, lab: str, auditor: str, shown: list[Envelope]) -> list[Envelope]:
    """False denials, and the true ones an honest party makes of what others forged."""
    forged_intent = desk.intent(1, label="forged", by=keys().lab_record)
    forged_promise = desk.promise(shown[1], 2, by=keys().exchange, revealBy="2026-11-04T00:00:00Z")
    made = [desk.denial(forged_intent, keys().agreement), forged_intent]
    made += [desk.denial(forged_promise, keys().lab_agreement), forged_promise]
    # Each truly denies to have signed what is the other's.
    made += [desk.denial(shown[1], keys().lab_agreement), desk.denial(shown[2], keys().agreement)]
    made += [desk.denial(shown[1], keys().agreement)] * (auditor == "denies")
    return made + [desk.denial(shown[2], keys().lab_agreement)] * (lab == "denies")


def elsewhere(*, relay: bool) -> list[Envelope]:
    """What both honestly signed at the same places under another agreement."""
    other = Desk(relay=not relay)
    intents = [other.intent(seq, label="elsewhere") for seq in range(N)]
    promises = [other.promise(intent, 2 + number) for number, intent in enumerate(intents)]
    return [*intents, *promises, *(other.record(promise, 7) for promise in promises[:1])]


def forgeries(desk: Desk, shown: list[Envelope]) -> list[Envelope]:
    """Documents in the lab's name that the lab did not sign."""
    promise = desk.promise(shown[1], 9, by=keys().exchange)
    fakes = [promise, desk.refusal(shown[1], 9, by=keys().outsider), desk.record(promise, 9, by=keys().agreement)]
    return [*fakes, desk.receipt(shown[1], by=keys().publication), desk.denial(shown[1], keys().outsider)]


def histories(desk: Desk, lab: str, leaves: list[bytes]) -> tuple[tuple[str, ...], tuple[Fork, ...]]:
    """The checkpoints that were signed, and what shows that two of them contradict each other."""
    notes = [desk.checkpoint(leaves[:2]), desk.checkpoint(leaves), desk.checkpoint(leaves[:-1])]
    if lab == "two_roots":
        notes.append(desk.checkpoint([*leaves[:-1], b"another end"]))
    if lab == "rollback":
        notes[0] = desk.checkpoint([b"leaf 0", b"another past"])
        return tuple(notes), (fork_of([b"leaf 0", b"another past"], leaves),)
    return tuple(notes), ()


def judged(played: Played, *, relay: bool) -> Evidence:
    """Return what of a run holds."""
    case = Desk(relay=relay).case(*played.documents, checkpoints=played.notes, forks=played.forks)
    trust = world_agreement.trust()
    return weigh(case, read_agreement(case.agreement, trust), trust, None)


def selections(names: list[str]) -> Iterator[tuple[str, ...]]:
    """Every selection of a few documents, and of all but a few."""
    few = chain.from_iterable(combinations(names, size) for size in range(4))
    most = chain.from_iterable(combinations(names, len(names) - size) for size in range(min(3, len(names))))
    return chain(few, most)


@pytest.mark.parametrize("relay", [True, False])
@pytest.mark.parametrize(("lab", "auditor"), list(product(LAB, AUDITOR)))
def test_no_selection_of_what_was_signed_blames_an_honest_party(lab: str, auditor: str, relay: bool) -> None:  # noqa: FBT001
    """I19, and T073 where the auditor forges."""
    held = judged(play(lab, auditor, relay=relay), relay=relay)
    straying = {role for role, behaviour in (("lab", lab), ("auditor", auditor)) if behaviour != "honest"}
    for chosen in selections(sorted(held.documents)):
        part = Evidence(held.parties, {name: held.documents[name] for name in chosen}, held.checkpoints, held.forks)
        assert {finding.role for finding in blame(part)} <= straying


FOUND = {
    ("lab", "no_promise"): ("UNANSWERED", None),
    ("lab", "promise_no_record"): ("PROMISE_UNFULFILLED", None),
    ("lab", "two_records"): ("RECORD_EQUIVOCATION", "RECORD_EQUIVOCATION"),
    ("lab", "two_answers"): ("SEQUENCE_EQUIVOCATION", "SEQUENCE_EQUIVOCATION"),
    ("lab", "two_roots"): ("LOG_EQUIVOCATION", "LOG_EQUIVOCATION"),
    ("lab", "rollback"): ("LOG_EQUIVOCATION", "LOG_EQUIVOCATION"),
    ("lab", "denies"): ("FALSE_DENIAL", "FALSE_DENIAL"),
    ("auditor", "two_intents"): ("SEQUENCE_EQUIVOCATION", "SEQUENCE_EQUIVOCATION"),
    ("auditor", "denies"): ("FALSE_DENIAL", "FALSE_DENIAL"),
}


@pytest.mark.parametrize("relay", [True, False])
@pytest.mark.parametrize(("role", "behaviour"), list(FOUND))
def test_each_deviation_is_found_or_known_to_stay_open(role: str, behaviour: str, relay: bool) -> None:  # noqa: FBT001
    """Completeness, as far as it goes: only what is not answered at all needs the relay (T053, T054, T055)."""
    played = play(behaviour, "honest", relay=relay) if role == "lab" else play("honest", behaviour, relay=relay)
    reasons = {(finding.role, finding.reason) for finding in blame(judged(played, relay=relay))}
    expected = FOUND[role, behaviour][0 if relay else 1]
    assert reasons == (set() if expected is None else {(role, expected)})


FIELDS = ("agreement", "session", "seq", "intent", "promise", "prev", "logIndex", "put", "answer", "document", "handle")
TIMES = ("promisedAt", "respondBy", "finishedAt", "refusedAt", "statedAt", "putAt", "until", "signedAt")


class Adversary(NamedTuple):
    """What one side may use against the other: its own keys, and everything both signed."""

    signers: tuple[Signer, ...]
    log: Signer
    played: Played


def adversary(honest: str) -> Adversary:
    """Return the other side of an honest party, after a run in which that other side strayed."""
    held = keys()
    if honest == "lab":
        signers = (held.agreement, held.exchange, held.publication, held.outsider)
        return Adversary(signers, held.cosign, play("honest", "abuses_relay", relay=True))
    signers = (held.lab_agreement, held.lab_record, held.worker, held.outsider)
    return Adversary(signers, held.lab_log, play("two_records", "honest", relay=True))


ADVERSARIES = {honest: adversary(honest) for honest in ("lab", "auditor")}


@st.composite
def forged(draw: st.DrawFn, honest: str) -> Envelope:
    """A document of the pool with fields of others of the pool, under the adversary's keys or a copied signature."""
    other = ADVERSARIES[honest]
    pool = other.played.documents
    base, donor = draw(st.sampled_from(pool)), draw(st.sampled_from(pool))
    value, given_ = json.loads(base.payload), json.loads(donor.payload)
    for name in draw(st.sets(st.sampled_from((*FIELDS, *TIMES)), max_size=3)) & value.keys():
        later = format_time(START + timedelta(seconds=draw(st.integers(0, 10**7))))
        value[name] = later if name in TIMES else draw(st.sampled_from([given_.get(name, value[name]), donor.digest]))
    if isinstance(value.get("seq"), str):
        value["seq"] = draw(st.integers(0, 3))
    kind = draw(st.sampled_from([base.payload_type, donor.payload_type]))
    payload = canonical_bytes(value)
    if draw(st.booleans()):
        return Envelope(kind, payload, draw(st.sampled_from([base.signatures, donor.signatures])))
    return sign(kind, payload, *draw(st.lists(st.sampled_from(other.signers), min_size=1, max_size=2, unique_by=id)))


@st.composite
def submissions(draw: st.DrawFn, honest: str) -> dict[str, Any]:
    """A whole case as the adversary of an honest party may make it."""
    desk, other = Desk(), ADVERSARIES[honest]
    pool = list(other.played.documents)
    documents = draw(st.lists(st.one_of(st.sampled_from(pool), forged(honest)), max_size=12))
    logs = st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=4)
    made = [desk.checkpoint(leaves, by=other.log) for leaves in draw(st.lists(logs, max_size=3))]
    notes = draw(st.permutations([*other.played.notes, *made]))
    number, root = st.integers(0, len(notes)), st.binary(min_size=32, max_size=32).map(bytes.hex)
    fork = st.tuples(number, number, root, st.lists(root, max_size=3)).map(
        lambda parts: Fork(older=parts[0], newer=parts[1], prefix_root=parts[2], proof=tuple(parts[3]))
    )
    reasons = st.sampled_from(["UNANSWERED", "PROMISE_UNFULFILLED", "RECORD_EQUIVOCATION", "FALSE_DENIAL"])
    claim = st.tuples(st.just(honest), reasons, st.one_of(st.none(), st.sampled_from(pool)))
    return {
        "documents": documents,
        "checkpoints": notes,
        "forks": draw(st.lists(fork, max_size=2)),
        "claims": draw(st.lists(claim, max_size=3)),
    }


@pytest.mark.parametrize("honest", ["lab", "auditor"])
@settings(max_examples=80)
@given(data=st.data())
def test_nothing_the_other_side_makes_up_blames_an_honest_party(honest: str, data: st.DataObject) -> None:
    """I19."""
    case = data.draw(submissions(honest))
    verdict = Desk().judge(*case.pop("documents"), **case)
    assert honest not in {role for role, _ in verdict.blamed}


@settings(max_examples=30)
@given(data=st.data())
def test_a_verdict_does_not_depend_on_the_order_of_what_is_shown(data: st.DataObject) -> None:
    case = data.draw(submissions("auditor"))
    documents = case.pop("documents")
    case["forks"] = []
    first = Desk().judge(*documents, **case)
    case["checkpoints"] = data.draw(st.permutations(case["checkpoints"]))
    assert first.findings == Desk().judge(*data.draw(st.permutations(documents)), **case).findings
