"""What the log says of hooks: what counts as a refusal or a failure of the lab's, and what TEST may begin without."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from attestations.documents.agreement import Agreement
from attestations.documents.elicitation import RunStart, StartedArm
from attestations.documents.exchange import Intent, Record, Refusal, TokenBudget
from attestations.elicitation.course import Course
from attestations.elicitation.hooks import HookBook, HooksSoFar
from attestations.elicitation.starting import check_start
from attestations.errors import AnalysisDeviationUndeclared
from tests.support.dispute import signed_agreement
from tests.support.sandbox_statements import sandbox_statement
from tests.unit.attestations.test_elicitation_levels import registration
from tests.unit.attestations.test_training import statement as training, succeeded

_NUMBERS = count()


def intent(operation: str, tokens: int = 0) -> Intent:
    fields: dict[str, Any] = {"operation": operation, "budget_max": TokenBudget(input_tokens=tokens, output_tokens=0)}
    return Intent.model_construct(None, **fields)


START, WAIT, BOX, CHAT = intent("fine_tune", 60), intent("fine_tune"), intent("sandbox"), intent("chat", 60)


def refuse(book: HookBook, asked: Intent, rule: str, reason: str = "HOOK_REFUSED") -> None:
    fields: dict[str, Any] = {"reason": reason, "rule": rule}
    book.refusal(asked, Refusal.model_construct(None, **fields), "00" * 32)


def end(book: HookBook, asked: Intent, status: str, code: str | None = None, hook: Any = None) -> None:
    promise = f"{next(_NUMBERS):064x}"
    book.promised(asked, promise)
    fields: dict[str, Any] = {"promise": promise, "status": status, "code": code, "hook": hook}
    book.record(Record.model_construct(None, **fields), promise)
    assert not book.asked


def test_only_the_refusal_of_what_could_begin_something_is_a_refusal_of_the_hook() -> None:
    book = HookBook()
    refuse(book, WAIT, "fine_tune")
    refuse(book, CHAT, "fine_tune")
    refuse(book, START, "fine_tune", "BUDGET_EXHAUSTED")
    refuse(book, START, "sandbox")
    assert (book.refused, book.claims()) == (set(), ())
    refuse(book, START, "fine_tune")
    refuse(book, BOX, "sandbox")
    assert book.refused == {"fine_tune", "sandbox"}
    assert {(claim.hook, claim.status) for claim in book.claims()} == {("fineTune", "REFUSED"), ("sandbox", "REFUSED")}


@pytest.mark.parametrize(
    ("asked", "status", "code", "tells"),
    [
        (START, "REFUSED_POLICY", "VARIANT_NOT_TRAINABLE", "refused"),
        (START, "REFUSED_POLICY", "HOOK_REFUSED", "refused"),
        (BOX, "REFUSED_POLICY", "SANDBOX_UNAVAILABLE:bwrap", "refused"),
        (BOX, "REFUSED_POLICY", "SANDBOX_DEGRADED", "refused"),
        (START, "REFUSED_POLICY", "TRAINER_BUSY", "failed"),
        (START, "ERROR", "TRAINER_MISSING", "failed"),
        (START, "TIMEOUT", None, "failed"),
        (START, "ABORTED_CRASH", "GATEWAY_RESTARTED", "failed"),
        (START, "CANCELLED_BY_AUDITOR", None, None),
        (START, "REFUSED_POLICY", "INPUT_BUDGET_EXCEEDED", None),
        (START, "REFUSED_POLICY", "JOB_UNKNOWN", None),
        (START, "ERROR", "TOO_MANY_TOKENS", None),
        (START, "ERROR", "DEMONSTRATION_TOO_LONG", None),
        (START, "ERROR", "PLAINTEXT_COMMIT_MISMATCH", None),
        (START, "ERROR", "SEALED_OPEN_FAILED", None),
        (START, "ERROR", "WEAK_SALT", None),
        (START, "ERROR", "WORKER_KEY_STALE", None),
        (WAIT, "REFUSED_POLICY", "HOOK_REFUSED", None),
        (WAIT, "ERROR", "TRAINER_MISSING", None),
        (BOX, "ERROR", "NO_SANDBOX", None),
        (BOX, "REFUSED_POLICY", "TOO_MANY_SANDBOXES", None),
        (CHAT, "REFUSED_POLICY", "HOOK_REFUSED", None),
    ],
)
def test_what_a_worker_says_counts_by_what_it_was_asked(
    asked: Intent, status: str, code: str | None, tells: str | None
) -> None:
    book = HookBook()
    end(book, asked, status, code)
    found = [name for name in ("refused", "failed") if asked.operation in getattr(book, name)]
    assert found == ([] if tells is None else [tells])
    assert bool(book.claims()) == (tells is not None)


def test_what_counts_is_the_last_that_was_said() -> None:

    agreement = Agreement.parse(signed_agreement(relay=False).payload)
    book = HookBook()
    end(book, START, "REFUSED_POLICY", "VARIANT_NOT_TRAINABLE")
    end(book, START, "COMPLETED", hook=training(agreement))
    assert book.so_far() == HooksSoFar(frozenset(), frozenset())
    end(book, WAIT, "COMPLETED", hook=training(agreement, state="FAILED", code="DIVERGED"))
    assert book.so_far().failed == {"fine_tune"}
    end(book, WAIT, "COMPLETED", hook=succeeded(agreement))
    assert (book.so_far().failed, len(book.trained)) == (frozenset(), 1)
    assert [claim.status for claim in book.claims()] == ["SUCCEEDED"]


def test_an_old_failure_that_is_asked_about_again_is_no_new_one() -> None:
    agreement = Agreement.parse(signed_agreement(relay=False).payload)
    book, failed = HookBook(), training(agreement, job="ft-0", state="FAILED", code="DIVERGED")
    end(book, WAIT, "COMPLETED", hook=failed)
    assert book.so_far().failed == {"fine_tune"}
    end(book, WAIT, "COMPLETED", hook=succeeded(agreement))
    end(book, WAIT, "COMPLETED", hook=failed)
    assert (book.so_far().failed, [claim.status for claim in book.claims()]) == (frozenset(), ["SUCCEEDED"])


@pytest.mark.parametrize(("code", "labs"), [("DEMONSTRATION_TOO_LONG", False), ("NO_ROOM", True)])
def test_a_job_that_failed_by_what_was_asked_of_it_is_no_failure_of_the_labs(code: str, labs: bool) -> None:  # noqa: FBT001
    agreement = Agreement.parse(signed_agreement(relay=False).payload)
    book = HookBook()
    end(book, WAIT, "COMPLETED", hook=training(agreement, state="FAILED", code=code))
    assert (book.so_far().failed == {"fine_tune"}) == labs
    assert [claim.status for claim in book.claims()] == ["FAILED"]


def test_a_sandbox_that_was_opened_is_told() -> None:
    book = HookBook()
    end(book, BOX, "COMPLETED", hook=sandbox_statement())
    assert [(claim.hook, claim.status) for claim in book.claims()] == [("sandbox", "OPEN")]


@pytest.mark.parametrize(
    ("reason", "signed", "holds"),
    [
        ("hook_refused", "refused", True),
        ("hook_refused", "failed", False),
        ("hook_failed", "failed", True),
        ("hook_failed", "refused", False),
        ("hook_failed", "", False),
        ("given_up", "", True),
    ],
)
def test_an_arm_is_dropped_for_what_the_lab_signed_or_by_the_auditors_own_decision(
    reason: str,
    signed: str,
    holds: bool,  # noqa: FBT001
) -> None:
    arms = (
        StartedArm(id="as_shipped", variant="deployed", dropped=None),
        StartedArm(id="sft_dev", variant=None, dropped=reason),  # type: ignore[arg-type]
    )
    none, tune = frozenset[str](), frozenset({"fine_tune"})
    hooks = HooksSoFar(tune if signed == "refused" else none, tune if signed == "failed" else none)
    fields: dict[str, Any] = {"arms": arms, "variants": ()}
    start, agreement = RunStart.model_construct(None, **fields), Agreement.model_construct(None, **fields)
    if holds:
        check_start(start, registration(), Course(), hooks=hooks, agreement=agreement)
        return
    with pytest.raises(AnalysisDeviationUndeclared) as found:
        check_start(start, registration(), Course(), hooks=hooks, agreement=agreement)
    assert found.value.facts["arm"] == "sft_dev"
