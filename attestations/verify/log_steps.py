"""What reading the log has shown, step by step, and until when it shows each key in use."""

from __future__ import annotations

from attestations.documents.agreement import PartyRole
from attestations.errors import EvidenceMissing, ExitCode
from attestations.keys import KeyUse
from attestations.verify.parties import Parties
from attestations.verify.steps import Attempts, Step
from attestations.verify.transcript import Transcript


def log_steps(agreed: Parties, log: Transcript, attempts: Attempts) -> None:
    """Report the checks that were made while the log was read."""
    errors, promised = log.errors, attempts.report.counted["promised"]
    if Step.AGREEMENT in errors:
        attempts.failed(Step.AGREEMENT, errors[Step.AGREEMENT])
    drawn = "; what is asked of it was drawn by both sides' shares" if log.drawing.seed is not None else ""
    found = {
        Step.REGISTRATION: (
            log.registration is not None,
            "the suite stands in the log before the first Promise" + drawn,
        ),
        Step.CLOSE: (log.close is not None, "both sides signed the same counts, meter and root"),
        Step.EXCHANGES: (not log.broken, f"{promised} Promises, each with one Record; sequences dense; meter unbroken"),
        Step.RUNTIME: (
            bool(log.runtimes) or promised == "0",
            f"{len(log.runtimes)} statement{'' if len(log.runtimes) == 1 else 's'} at {agreed.agreement.runtime.level}",
        ),
    }
    for step, (there, detail) in found.items():
        if step in errors:
            attempts.failed(step, errors[step])
        elif there:
            attempts.passed(step, detail)
        elif log.broken:
            attempts.missing("the log could not be followed that far", step)
        else:
            attempts.failed(step, EvidenceMissing("not in the log", step=str(int(step))))
    exchanges = errors.get(Step.EXCHANGES)
    if Step.IDENTITY in errors:
        attempts.failed(Step.IDENTITY, errors[Step.IDENTITY])
    elif exchanges is not None and exchanges.exit_code is ExitCode.MODEL_IDENTITY_INCONSISTENT:
        attempts.failed(Step.IDENTITY, exchanges)
    elif log.broken:
        attempts.missing("the log could not be followed to its end", Step.IDENTITY)
    else:
        attempts.passed(Step.IDENTITY, "every Promise and Record names the agreed weights: the lab's word at RA0")


def last_uses(log: Transcript, agreed: Parties) -> dict[tuple[PartyRole, KeyUse], str | None]:
    """Return when each party last used each key, as the log tells it; None where nothing does."""
    # Whoever signed the checkpoint, the index and the attestation did so after the log's last leaf.
    created, last = agreed.agreement.created_at, log.last_time
    close = None if log.close is None else log.close.closed_at
    return {
        ("lab", KeyUse.AGREEMENT): log.stated.get("lab", created),
        ("lab", KeyUse.RECORD): last,
        ("lab", KeyUse.LOG): last,
        ("auditor", KeyUse.AGREEMENT): log.stated.get("auditor", created),
        ("auditor", KeyUse.EXCHANGE): close or log.exchanges.last_intent,
        ("auditor", KeyUse.COSIGN): last,
        ("auditor", KeyUse.PUBLICATION): last,
    }
