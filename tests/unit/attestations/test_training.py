"""What Records say of fine-tuning: one ledger for lab, auditor and verifier, and everything it refuses."""

from __future__ import annotations

from itertools import count, permutations
from typing import Any

import pytest

from attestations.documents.agreement import Agreement, FineTuningGrant
from attestations.documents.base import validated
from attestations.documents.exchange import Intent, Record, TokenBudget, Usage
from attestations.documents.finetuning import (
    Demonstration,
    LossPoint,
    Recipe,
    TrainingStatement,
    VariantDestroyed,
    demonstrations_root,
    derived_manifest,
    job_name,
    losses_digest,
)
from attestations.envelope import Envelope
from attestations.errors import (
    AttributionFailed,
    BudgetExhausted,
    MalformedEnvelope,
    PhaseViolation,
    ScopeExceeded,
    UsageMeterMismatch,
    VariantMismatch,
    WeakSalt,
)
from attestations.training import TrainingLedger
from attestations.training_history import JobHistory
from attestations.verify.training import Destructions, told
from tests.support.dispute import signed_agreement

COMMIT, ADAPTER = "ab" * 32, "cd" * 32
JOB = job_name(COMMIT)
_PLACES = count()


@pytest.fixture(scope="module")
def agreement() -> Agreement:
    envelope: Envelope = signed_agreement(relay=False)
    agreed = Agreement.parse(envelope.payload)
    return agreed.model_copy(update={"fine_tuning": FineTuningGrant(max_jobs=2, max_train_tokens="100")})


def intent(agreement: Agreement, *, tokens: int = 60, commit: str = COMMIT, operation: str = "fine_tune") -> Intent:
    base = agreement.variants[0]
    fields: dict[str, Any] = {"operation": operation, "variant": base.id, "plaintext_commit": commit}
    fields |= {"session": "s", "seq": 0, "budget_max": TokenBudget(input_tokens=tokens, output_tokens=0)}
    return Intent.model_construct(None, **fields)


def statement(agreement: Agreement, **changes: Any) -> TrainingStatement:
    base = agreement.variants[0]
    fields: dict[str, Any] = {
        "job": JOB,
        "state": "RUNNING",
        "base": base.id,
        "base_manifest": base.manifest,
        "demonstrations": "11" * 32,
        "count": 3,
        "recipe": Recipe(),
        "trainer": "test/1",
        "planned_steps": 4,
        "planned_tokens": "60",
        "steps": 0,
        "tokens": "0",
        "seconds": "0",
        "resumed": 0,
    }
    return TrainingStatement(**{**fields, **changes})


def succeeded(agreement: Agreement, **changes: Any) -> TrainingStatement:
    manifest = derived_manifest(agreement.variants[0].manifest, ADAPTER)
    made = {
        "state": "SUCCEEDED",
        "losses": "22" * 32,
        "adapter": ADAPTER,
        "manifest": manifest,
        "steps": 4,
        "tokens": "60",
    }
    return statement(agreement, **{**made, **changes})


def record(stated: TrainingStatement, *, charged: int = 0) -> Record:
    usage = Usage(input_tokens=charged, cached_tokens=0, output_tokens=0, reasoning_tokens=0)
    fields: dict[str, Any] = {"hook": stated, "usage": usage, "session": "s", "seq": 0}
    return Record.model_construct(None, **fields)


def take(
    book: TrainingLedger, agreement: Agreement, asked: Intent, said: Record, *, between: tuple[int, int] | None = None
) -> None:
    """Take a Record; `between` are the log indices of its Promise and its own, by default after all others."""
    promised, recorded = between or (next(_PLACES), next(_PLACES))
    book.take(agreement, asked, said.model_copy(update={"log_index": str(recorded)}), promised=promised)


def ledger(agreement: Agreement) -> TrainingLedger:
    made = TrainingLedger()
    take(made, agreement, intent(agreement), record(statement(agreement), charged=60))
    return made


def test_a_job_that_succeeded_makes_a_variant_that_everybody_derives_alike(agreement: Agreement) -> None:
    book = ledger(agreement)
    assert book.variants == {}
    take(book, agreement, intent(agreement, tokens=0, commit="ee" * 32), record(succeeded(agreement)))
    base, name = agreement.variants[0], f"{agreement.variants[0].id}+{JOB}"
    made = book.variant(agreement, name)
    assert made is not None
    assert (made.parent, made.kind, made.template) == (base.id, "custom", base.template)
    assert made.manifest == derived_manifest(base.manifest, ADAPTER) != base.manifest
    assert book.variant(agreement, base.id) == base
    assert book.variant(agreement, f"{base.id}+ft-0") is None


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"base_manifest": "33" * 32}, VariantMismatch),
        ({"demonstrations": "33" * 32}, VariantMismatch),
        ({"count": 4}, VariantMismatch),
        ({"recipe": Recipe(rank=16)}, VariantMismatch),
        ({"planned_tokens": "61"}, VariantMismatch),
        ({"job": "ft-0000000000000000"}, VariantMismatch),
        ({"manifest": "33" * 32}, VariantMismatch),
    ],
)
def test_a_statement_that_contradicts_an_earlier_one_is_refused(
    agreement: Agreement, change: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        take(ledger(agreement), agreement, intent(agreement, tokens=0), record(succeeded(agreement, **change)))


def test_steps_do_not_go_back_unless_the_job_was_resumed_and_an_end_is_an_end(agreement: Agreement) -> None:
    book, again = ledger(agreement), intent(agreement, tokens=0)
    take(book, agreement, again, record(statement(agreement, steps=3, tokens="45")))
    with pytest.raises(VariantMismatch):
        take(book, agreement, again, record(statement(agreement, steps=2, tokens="30")))
    take(book, agreement, again, record(statement(agreement, steps=2, tokens="30", resumed=1)))
    ended = statement(agreement, state="ABORTED_CRASH", code="WORKER_RESTARTED", steps=2, tokens="30", resumed=1)
    take(book, agreement, again, record(ended))
    take(book, agreement, again, record(ended))
    with pytest.raises(VariantMismatch):
        take(book, agreement, again, record(succeeded(agreement, resumed=1)))


def test_two_sessions_that_ask_at_once_may_hear_of_a_job_in_either_order(agreement: Agreement) -> None:
    """No honest lab chooses which of two answers that overlap gets its place in the log first."""
    again = intent(agreement, tokens=0)
    early, late = statement(agreement, steps=1, tokens="15"), statement(agreement, steps=3, tokens="45")
    overlapping = [((9000, 9011), early), ((9001, 9010), late), ((9005, 9020), succeeded(agreement))]
    for order in permutations(overlapping):
        book = ledger(agreement)
        for place, said in order:
            take(book, agreement, again, record(said), between=place)
        assert book.jobs[JOB].state == "SUCCEEDED"


@pytest.mark.parametrize("read", ["in order", "out of order"])
def test_what_was_promised_after_a_record_is_no_earlier_than_it(agreement: Agreement, read: str) -> None:
    """In whatever order an auditor reads them, a lab that goes back is found."""
    again = intent(agreement, tokens=0)
    far, back = statement(agreement, steps=3, tokens="45"), statement(agreement, steps=1, tokens="15")
    said = [((9000, 9010), far), ((9011, 9012), back)]
    first, then = said if read == "in order" else said[::-1]
    book = ledger(agreement)
    take(book, agreement, again, record(first[1]), between=first[0])
    with pytest.raises(VariantMismatch):
        take(book, agreement, again, record(then[1]), between=then[0])


def test_overlapping_answers_about_one_job_cannot_tell_two_stories(agreement: Agreement) -> None:
    again, book = intent(agreement, tokens=0), ledger(agreement)
    cancelled = statement(agreement, state="CANCELLED", steps=2, tokens="30")
    take(book, agreement, again, record(cancelled), between=(9000, 9009))
    for other in (succeeded(agreement), statement(agreement, steps=3, tokens="45")):
        with pytest.raises(VariantMismatch):
            take(book, agreement, again, record(other), between=(9000, 9010))
    take(book, agreement, again, record(statement(agreement, steps=2, tokens="30")), between=(9000, 9010))


def test_a_worker_that_died_may_know_of_fewer_steps_than_it_had_told(agreement: Agreement) -> None:
    book, again = ledger(agreement), intent(agreement, tokens=0)
    take(book, agreement, again, record(statement(agreement, steps=3, tokens="45", resumed=1)))
    take(book, agreement, again, record(statement(agreement, state="ABORTED_CRASH", code="WORKER_RESTARTED")))
    with pytest.raises(VariantMismatch):
        take(book, agreement, again, record(statement(agreement, steps=4, tokens="60", resumed=2)))


def test_asking_how_a_job_stands_again_and_again_takes_no_room(agreement: Agreement) -> None:
    book, again = JobHistory(statement(agreement), started=0), statement(agreement, steps=1, tokens="15")
    for place in range(0, 400, 2):
        assert book.fits(again, promised=place, recorded=place + 1)
        book.take(again, promised=place, recorded=place + 1)
    assert len(book._reached) == len(book._left) == 1


def test_a_job_is_charged_what_it_was_planned_and_within_what_was_agreed(agreement: Agreement) -> None:
    for charged, planned in ((59, "60"), (101, "101")):
        stated = statement(agreement, planned_tokens=planned)
        with pytest.raises(UsageMeterMismatch):
            take(TrainingLedger(), agreement, intent(agreement), record(stated, charged=charged))
    without = agreement.model_copy(update={"fine_tuning": None})
    with pytest.raises(UsageMeterMismatch):
        take(TrainingLedger(), without, intent(agreement), record(statement(agreement), charged=60))
    other = intent(agreement, operation="chat")
    with pytest.raises(VariantMismatch):
        take(TrainingLedger(), agreement, other, record(statement(agreement), charged=60))


def test_a_job_is_charged_once_however_often_its_start_is_heard_of(agreement: Agreement) -> None:
    book, begins, asks = TrainingLedger(), record(statement(agreement), charged=60), intent(agreement, tokens=0)
    for _ in range(2):  # an auditor that crashed reads the Record of the start again
        take(book, agreement, intent(agreement), begins, between=(900, 901))
    with pytest.raises(UsageMeterMismatch):
        take(book, agreement, intent(agreement), begins, between=(902, 903))
    with pytest.raises(UsageMeterMismatch):
        take(book, agreement, asks, record(statement(agreement), charged=1), between=(902, 903))
    take(book, agreement, asks, record(statement(agreement)), between=(902, 903))
    assert book.tokens == 60


def test_a_start_is_refused_where_there_is_no_room_left_even_for_what_is_under_way(agreement: Agreement) -> None:
    book = ledger(agreement)
    book.check_start(agreement, intent(agreement, tokens=40), {})
    book.check_start(agreement, intent(agreement, tokens=0), {("s", 0): 40})  # it cannot start anything
    for tokens, waiting, rule in ((41, {}, "max_train_tokens"), (1, {("s", 0): 1}, "max_jobs")):
        with pytest.raises(BudgetExhausted) as refused:
            book.check_start(agreement, intent(agreement, tokens=tokens), waiting)
        assert refused.value.facts["rule"] == rule
    with pytest.raises(ScopeExceeded):
        book.check_start(agreement.model_copy(update={"fine_tuning": None}), intent(agreement), {})


def test_a_destruction_is_of_a_variant_that_was_made_and_after_the_run(agreement: Agreement) -> None:
    book = ledger(agreement)
    take(book, agreement, intent(agreement, tokens=0), record(succeeded(agreement)))
    (made,) = book.made()
    document = VariantDestroyed(
        agreement="aa" * 32,
        variant=made.variant,
        job=made.job,
        adapter=made.adapter,
        manifest=made.manifest,
        destroyed_at="2026-11-24T00:00:00Z",
    )
    gone = Destructions()
    with pytest.raises(PhaseViolation):
        gone.take(document, book, closed=False)
    with pytest.raises(AttributionFailed):
        gone.take(document.model_copy(update={"adapter": "00" * 32}), book, closed=True)
    assert any("has not said" in line for line in told(book, gone, {}))
    gone.take(document, book, closed=True)
    with pytest.raises(AttributionFailed):
        gone.take(document, book, closed=True)
    assert list(told(book, gone, {"fine_tune": "safety"})) == [
        "The lab declined to fine-tune: safety",
        "1 of 1 fine-tune jobs made a variant; that it was trained so is the lab's word.",
    ]


def test_demonstrations_and_losses_are_committed_to_under_a_salt_and_in_order() -> None:
    one, two = (Demonstration(prompt="q", completion=text) for text in ("a", "b"))
    roots = {demonstrations_root(items, bytes([salt]) * 32) for items in ((one, two), (two, one)) for salt in (1, 2)}
    assert len(roots) == 4
    curve = [LossPoint(step=1, loss="0.5")]
    assert losses_digest(curve, bytes(32)) != losses_digest(curve, b"\1" * 32)
    with pytest.raises(WeakSalt):
        demonstrations_root((one,), b"short")
    assert "q" not in repr(one)


@pytest.mark.parametrize(
    "change",
    [
        {"rank": 65},
        {"epochs": 101},
        {"batch": 65},
        {"alpha": 0},
        {"maxTokens": 4097},
        {"learningRate": "0.11"},
        {"learningRate": "0"},
    ],
)
def test_every_number_of_a_recipe_is_capped(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedEnvelope):
        validated(Recipe, Recipe().json_value() | change)


def test_a_demonstration_holds_one_form_and_an_answer() -> None:
    forms: list[dict[str, Any]] = [{"prompt": "q", "completion": ""}, {"completion": "a"}]
    for value in (*forms, {"prompt": None, "messages": [], "completion": "a"}):
        with pytest.raises(MalformedEnvelope):
            validated(Demonstration, value)


@pytest.mark.parametrize("change", [{"steps": 0, "tokens": "0"}, {"steps": 3}, {"tokens": "59"}])
def test_a_job_that_succeeded_has_trained_all_that_was_planned(agreement: Agreement, change: dict[str, Any]) -> None:
    with pytest.raises(VariantMismatch):
        take(ledger(agreement), agreement, intent(agreement, tokens=0), record(succeeded(agreement, **change)))


def test_an_adapter_that_two_jobs_are_said_to_have_made_is_told(agreement: Agreement) -> None:
    book, other = ledger(agreement), "ba" * 32
    take(book, agreement, intent(agreement, tokens=0), record(succeeded(agreement)))
    second = {"job": job_name(other), "planned_tokens": "40", "tokens": "40"}
    assert not any("another job" in line for line in told(book, Destructions(), {}))
    take(book, agreement, intent(agreement, commit=other), record(succeeded(agreement, **second), charged=40))
    assert any(line.startswith("1 of them") for line in told(book, Destructions(), {}))
