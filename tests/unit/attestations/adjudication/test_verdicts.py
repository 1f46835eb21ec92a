"""Who is blamed for what, from signed documents alone, and what stays open."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from attestations.adjudication.case import Case, Claim
from attestations.adjudication.judging import adjudicate
from attestations.adjudication.verdict import Verdict
from attestations.documents.elicitation import PackAnswer
from attestations.envelope import Envelope, sign_document
from attestations.errors import (
    ExitCode,
    FalseDenial,
    LogEquivocation,
    PromiseUnfulfilled,
    RecordEquivocation,
    SafeconductError,
    SequenceEquivocation,
    Unanswered,
    UntrustedParty,
    reason_of,
)
from attestations.log_entries import parse_entry
from tests.support import world_agreement
from tests.support.dispute import DUE, PATIENCE, START, Desk, fork_of, relay_signer
from tests.support.world import Hooks, World
from tests.support.world_agreement import keys

DESK = Desk()
BILATERAL = Desk(relay=False)


def assert_blames(verdict: Verdict, role: str, error: type[SafeconductError], code: int) -> None:
    """Check that exactly one party is blamed, for exactly one class, with its exit code."""
    assert {(role, reason_of(error))} == verdict.blamed
    assert code == verdict.exit_code


def assert_open(verdict: Verdict, reason: type[SafeconductError]) -> None:
    """Check that nobody is blamed and that the claim stays open."""
    assert frozenset() == verdict.blamed
    assert [("inconclusive", reason_of(reason))] == [(item.outcome, item.reason) for item in verdict.findings]
    assert verdict.exit_code == ExitCode.INDETERMINATE


def test_two_intents_for_one_place_blame_the_auditor() -> None:
    """T047."""
    verdict = DESK.judge(DESK.intent(4), DESK.intent(4, label="other"))
    assert_blames(verdict, "auditor", SequenceEquivocation, 32)


def test_two_records_of_one_promise_blame_the_lab() -> None:
    """T056."""
    promise = DESK.promise(DESK.intent(0), 2)
    verdict = DESK.judge(promise, DESK.record(promise, 3), DESK.record(promise, 3, code="BACKEND_STALLED"))
    assert ("lab", "RECORD_EQUIVOCATION") in verdict.blamed
    assert {"lab"} == {role for role, _ in verdict.blamed}
    assert verdict.exit_code == 32


def test_records_of_one_promise_at_two_places_blame_the_lab() -> None:
    """T056: whatever else they say."""
    promise = DESK.promise(DESK.intent(0), 2)
    verdict = DESK.judge(DESK.record(promise, 3), DESK.record(promise, 5, seq=1))
    assert_blames(verdict, "lab", RecordEquivocation, 32)


def test_two_answers_to_one_intent_blame_the_lab() -> None:
    intent = DESK.intent(0)
    verdict = DESK.judge(DESK.promise(intent, 2), DESK.refusal(intent, 3))
    assert_blames(verdict, "lab", SequenceEquivocation, 32)


def test_two_documents_for_one_leaf_blame_the_lab() -> None:
    """T064: what was promised is not what the log holds."""
    verdict = DESK.judge(DESK.promise(DESK.intent(0), 2), DESK.promise(DESK.intent(0), 2, seq=1))
    assert_blames(verdict, "lab", LogEquivocation, 32)


def test_two_roots_of_one_size_blame_the_lab() -> None:
    """T064."""
    notes = [DESK.checkpoint([b"a", b"b"]), DESK.checkpoint([b"a", b"c"])]
    assert_blames(DESK.judge(checkpoints=notes), "lab", LogEquivocation, 32)


@pytest.mark.parametrize("size", range(1, 8))
def test_a_log_that_does_not_begin_with_its_smaller_one_blames_the_lab(size: int) -> None:
    """T064, T065."""
    older, newer = [b"%d" % n for n in range(size)], [b"x%d" % n for n in range(8)]
    notes = [DESK.checkpoint(older), DESK.checkpoint(newer)]
    verdict = DESK.judge(checkpoints=notes, forks=[fork_of(older, newer)])
    assert_blames(verdict, "lab", LogEquivocation, 32)


def test_two_sizes_without_a_proof_stay_open() -> None:
    """T064: a log owes a proof of consistency, but a missing one convicts nobody."""
    notes = [DESK.checkpoint([b"a"]), DESK.checkpoint([b"b", b"c"])]
    verdict = DESK.judge(checkpoints=notes, claims=[("lab", "LOG_EQUIVOCATION", None)])
    assert_open(verdict, LogEquivocation)


def test_a_proof_that_fails_convicts_nobody() -> None:
    """T064: anyone can write a proof that does not hold."""
    older, newer = [b"a", b"b"], [b"a", b"b", b"c"]
    fork = fork_of([b"a", b"x"], newer).model_copy(update={"prefix_root": "ab" * 32})
    verdict = DESK.judge(checkpoints=[DESK.checkpoint(older), DESK.checkpoint(newer)], forks=[fork])
    assert frozenset() == verdict.blamed
    assert [item.reason for item in verdict.set_aside] == ["CONSISTENCY_PROOF_INVALID"]


def test_an_intent_without_an_answer_and_without_a_relay_is_word_against_word() -> None:
    """T053."""
    intent = BILATERAL.intent(0)
    assert_open(BILATERAL.judge(intent, claims=[("lab", "UNANSWERED", intent)]), Unanswered)
    assert_open(DESK.judge(DESK.intent(0), claims=[("lab", "UNANSWERED", DESK.intent(0))]), Unanswered)


def test_an_intent_the_relay_put_forward_in_vain_blames_the_lab() -> None:
    """T054."""
    intent = DESK.intent(0)
    verdict = DESK.judge(intent, DESK.receipt(intent), claims=[("lab", "UNANSWERED", intent)])
    assert_blames(verdict, "lab", Unanswered, 33)
    assert "relay.example put it before the lab" in verdict.findings[0].sentence


def test_a_promise_that_is_shown_later_does_not_undo_what_the_relay_saw() -> None:
    """T054: or a lab could wait as long as it likes."""
    intent = DESK.intent(0)
    verdict = DESK.judge(intent, DESK.receipt(intent), DESK.promise(intent, 2))
    assert_blames(verdict, "lab", Unanswered, 33)


def test_an_auditor_that_went_on_from_the_answer_had_it() -> None:
    """T054: the relay was asked for what was already there."""
    intent = DESK.intent(0)
    promise = DESK.promise(intent, 2)
    record = DESK.record(promise, 3)
    after = DESK.intent(1, prev=record.digest)
    claims = [("lab", "UNANSWERED", intent)]
    verdict = DESK.judge(intent, DESK.receipt(intent), promise, record, after, claims=claims)
    assert frozenset() == verdict.blamed
    assert [item.outcome for item in verdict.findings] == ["cleared"]
    refusal = DESK.refusal(intent, 2)
    after = DESK.intent(1, prev=refusal.digest)
    assert frozenset() == DESK.judge(intent, DESK.receipt(intent), refusal, after, claims=claims).blamed
    assert frozenset() == DESK.judge(promise, DESK.receipt(promise), record, DESK.intent(1, prev=record.digest)).blamed


def test_a_promise_without_a_record_stays_open_without_the_relay() -> None:
    """T055: cosignatures bound a log's time from above only, so they do not show that something is missing."""
    promise = DESK.promise(DESK.intent(0), 2)
    assert_open(DESK.judge(promise, claims=[("lab", "PROMISE_UNFULFILLED", promise)]), PromiseUnfulfilled)
    early = DESK.judge(promise, claims=[("lab", "PROMISE_UNFULFILLED", promise)], at=START)
    assert "not due before" in early.findings[0].sentence


def test_a_promise_the_relay_asked_about_in_vain_blames_the_lab() -> None:
    """T055."""
    promise = DESK.promise(DESK.intent(0), 2)
    assert_blames(DESK.judge(promise, DESK.receipt(promise)), "lab", PromiseUnfulfilled, 33)


def test_a_record_that_is_shown_clears_the_lab() -> None:
    promise = DESK.promise(DESK.intent(0), 2)
    verdict = DESK.judge(promise, DESK.record(promise, 3), claims=[("lab", "PROMISE_UNFULFILLED", promise)])
    assert [(item.outcome, verdict.exit_code) for item in verdict.findings] == [("cleared", ExitCode.OK)]


@pytest.mark.parametrize(
    "receipt",
    [
        lambda desk, intent, _: desk.receipt(intent, wait=PATIENCE - 1),
        lambda desk, intent, _: desk.receipt(intent, answer=desk.grant()),
        lambda desk, intent, _: desk.receipt(intent, at=datetime(2026, 12, 24, 1, tzinfo=UTC)),
        lambda desk, intent, _: desk.receipt(intent, by=keys().agreement),
        lambda desk, _, promise: desk.receipt(promise, at=DUE - timedelta(seconds=1)),
        lambda desk, _, promise: desk.receipt(promise, at=datetime(2026, 12, 25, tzinfo=UTC)),
        lambda desk, *_: desk.receipt(desk.grant()),
    ],
    ids=["too short", "answered", "after access", "another's key", "before it is due", "long after", "nothing owed"],
)
def test_a_receipt_that_shows_nothing_owed_blames_nobody(receipt: object) -> None:
    intent = DESK.intent(0)
    promise = DESK.promise(intent, 2)
    assert callable(receipt)
    assert frozenset() == DESK.judge(intent, promise, DESK.grant(), receipt(DESK, intent, promise)).blamed


def test_a_relay_that_contradicts_itself_convicts_nobody() -> None:
    intent = DESK.intent(0)
    verdict = DESK.judge(intent, DESK.receipt(intent), DESK.receipt(intent, answer=DESK.promise(intent, 2)))
    assert frozenset() == verdict.blamed
    assert [(item.outcome, item.role) for item in verdict.findings] == [("inconclusive", "relay")]


def test_a_receipt_from_after_the_time_to_judge_at_does_not_count() -> None:
    intent = DESK.intent(0)
    assert frozenset() == DESK.judge(intent, DESK.receipt(intent), at=DUE).blamed
    later = DUE + timedelta(seconds=PATIENCE)
    assert {("lab", "UNANSWERED")} == DESK.judge(intent, DESK.receipt(intent), at=later).blamed


def test_an_auditor_that_denies_what_it_signed_is_blamed() -> None:
    """T072: it says it never sent seq 7."""
    intent = DESK.intent(7)
    verdict = DESK.judge(intent, DESK.denial(intent, keys().agreement))
    assert_blames(verdict, "auditor", FalseDenial, 32)


def test_a_denial_that_the_denied_party_did_not_sign_blames_nobody() -> None:
    """T072: the lab cannot deny in the auditor's name."""
    intent = DESK.intent(7)
    for signer in (keys().lab_agreement, keys().lab_record, keys().outsider, keys().exchange):
        assert frozenset() == DESK.judge(intent, DESK.denial(intent, signer)).blamed


def test_a_denial_of_what_the_lab_signed_only_later_blames_nobody() -> None:
    """Whoever denies a document cannot be caught by one that is dated later."""
    promise = DESK.promise(DESK.intent(0), 2)
    before = DESK.denial(promise, keys().lab_agreement, after=timedelta(0))
    assert frozenset() == DESK.judge(promise, before).blamed
    assert_blames(DESK.judge(promise, DESK.denial(promise, keys().lab_agreement)), "lab", FalseDenial, 32)


def test_a_complaint_without_the_labs_signature_blames_nobody() -> None:
    """T073."""
    intent = DESK.intent(0)
    forged = DESK.promise(intent, 2, by=keys().exchange)
    records = [DESK.record(forged, 3, by=keys().outsider), DESK.record(forged, 3, code="X", by=keys().outsider)]
    verdict = DESK.judge(intent, forged, *records, claims=[("lab", "RECORD_EQUIVOCATION", records[0])])
    assert_open(verdict, RecordEquivocation)
    assert [item.reason for item in verdict.set_aside] == [
        "SIGNER_ROLE_MISMATCH",
        "SIGNATURE_INVALID",
        "SIGNATURE_INVALID",
    ]
    unfulfilled = DESK.judge(forged, claims=[("lab", "PROMISE_UNFULFILLED", forged)])
    assert "no Promise that the lab signed is shown" in unfulfilled.findings[0].sentence


def test_a_bare_accusation_blames_nobody() -> None:
    """T073."""
    for reason in ("LOG_EQUIVOCATION", "UNANSWERED", "NO_SUCH_REASON"):
        verdict = DESK.judge(claims=[("lab", reason, None), ("auditor", reason, None)])
        assert (frozenset(), ExitCode.INDETERMINATE) == (verdict.blamed, verdict.exit_code)


def test_one_document_shown_twice_or_signed_anew_is_one_document() -> None:
    """ECDSA signatures can be rewritten by anyone: (r, n - s) holds as well."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    intent = DESK.intent(0)
    r, s = decode_dss_signature(intent.signatures[0].sig)
    other = intent.signatures[0]._replace(sig=encode_dss_signature(r, order - s))
    rewritten = Envelope(intent.payload_type, intent.payload, (other,))
    assert rewritten.to_bytes() != intent.to_bytes()
    verdict = DESK.judge(intent, intent, rewritten)
    assert (verdict.findings, verdict.set_aside) == ((), ())


def test_documents_of_another_agreement_convict_nobody() -> None:
    """Both agreements are real: each party signed one Intent for one place under each."""
    verdict = DESK.judge(DESK.intent(4), BILATERAL.intent(4, label="other"))
    assert frozenset() == verdict.blamed
    assert [item.reason for item in verdict.set_aside] == ["ATTRIBUTION_FAILED"]


def test_a_key_that_was_revoked_convicts_nobody() -> None:
    """A thief can date what he signs as he likes."""
    trust = world_agreement.trust(revoked=[(keys().exchange.key, "2026-11-20T00:00:00Z")])
    documents = DESK.intent(4), DESK.intent(4, label="other")
    verdict = DESK.judge(*documents, trust=trust)
    assert frozenset() == verdict.blamed
    assert [item.reason for item in verdict.set_aside] == ["KEY_REVOKED"] * 2
    before = DESK.judge(*documents, trust=trust, at=datetime(2026, 11, 10, tzinfo=UTC))
    assert {("auditor", "SEQUENCE_EQUIVOCATION")} == before.blamed


def test_an_agreement_of_strangers_is_not_adjudicated() -> None:
    case = DESK.case(DESK.intent(4), DESK.intent(4, label="other"))
    stranger = world_agreement.trust().model_copy(update={"parties": world_agreement.trust().parties[:1]})
    with pytest.raises(UntrustedParty):
        adjudicate(case, stranger)


def test_everything_that_is_shown_is_found_claimed_or_not() -> None:
    promise = DESK.promise(DESK.intent(0), 2)
    verdict = DESK.judge(
        DESK.intent(0),
        DESK.intent(0, label="other"),
        promise,
        DESK.receipt(promise),
        claims=[("lab", "RATE_LIMITED", None)],
    )
    assert {("auditor", "SEQUENCE_EQUIVOCATION"), ("lab", "PROMISE_UNFULFILLED")} == verdict.blamed
    assert verdict.exit_code == 32
    assert verdict.findings[-1].outcome == "inconclusive"


def world_case(world: World, *claims: Claim) -> Verdict:
    """Return the verdict over every document of a made-up audit's log."""
    world.build()
    lines = world.log.prefix(world.log.size).splitlines()
    documents = [document for line in lines for document in parse_entry(line).documents]
    return adjudicate(Case(world.envelope, documents, claims=claims), world_agreement.trust())


def test_an_honest_audit_blames_nobody_with_its_whole_log() -> None:
    """I19."""
    verdict = world_case(World())
    assert (verdict.findings, verdict.exit_code) == ((), 70)


def test_two_records_in_a_log_blame_the_lab() -> None:
    """T056: what `verify` refuses with 32, two documents of it show to anyone."""
    world = World()
    world.steps.insert(world.steps.index(("record", 5)) + 1, ("record", 5))
    verdict = world_case(world)
    assert {("lab", "RECORD_EQUIVOCATION")} == verdict.blamed


def test_a_place_used_twice_in_a_log_blames_the_auditor() -> None:
    """T047."""

    def again(intent: object) -> object:
        return intent.model_copy(update={"seq": intent.seq - 1})  # type: ignore[attr-defined]

    verdict = world_case(World(hooks=Hooks(alter={"intent-fields:8": again})))
    assert ("auditor", "SEQUENCE_EQUIVOCATION") in verdict.blamed


def test_a_relays_key_signs_nothing_but_receipts() -> None:
    verdict = DESK.judge(DESK.intent(0), DESK.intent(0, label="other", by=relay_signer()))
    assert (frozenset(), ["SIGNATURE_INVALID"]) == (verdict.blamed, [item.reason for item in verdict.set_aside])


def test_a_lab_that_declined_to_advise_is_shown_when_it_complains_of_poor_elicitation() -> None:
    """T043."""
    document = PackAnswer(
        agreement=DESK.digest, status="declined", pack=None, reason="no time", stated_at="2026-11-02T13:00:00Z"
    )
    declined = sign_document(document, keys().lab_agreement)
    verdict = DESK.judge(declined, claims=[("auditor", "UNDER_ELICITED", None)])
    (finding,) = verdict.findings
    assert (verdict.blamed, finding.outcome, finding.evidence) == (frozenset(), "inconclusive", (declined.digest,))
    assert "declined" in finding.sentence
