"""What a report must never be read as saying: the limitations that follow from what the evidence is."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from attestations.documents.agreement import Agreement
from attestations.predicate import AuditPredicate
from attestations.verify.opened import Content
from attestations.verify.training import told
from attestations.verify.transcript import Transcript


def limitations(
    agreement: Agreement,
    transcript: Transcript,
    predicate: AuditPredicate | None,
    content: Content | None,
    *,
    published: bool = False,
) -> tuple[str, ...]:
    """Return the sentences to print, those that matter most first."""
    lines = ["A valid signature is not a safe model: this shows what was asked, answered and published, no more."]
    if agreement.runtime.level == "RA0":
        lines.append(
            "RA0: which weights ran, and that prompts were not kept or trained on, is the lab's signed word only."
        )
    lines.append("Questions asked or answers drawn outside this protocol cannot be seen in its evidence.")
    if predicate is not None and (predicate.validity is None or predicate.validity.sandbagging == "notAssessed"):
        lines.append("Sandbagging was not assessed: a low figure may be a model that holds back.")
    lines += _elicited(predicate)
    if predicate is not None and predicate.arms == ("as_shipped",):
        lines.append("The model was asked as shipped; better elicitation may find more capability.")
    lines += _one_layout(content)
    if not agreement.witnesses.quorum:
        lines.append("No third party witnessed the log: lab and auditor together could have rewritten it.")
    if agreement.policy.escrow == "none" and agreement.escrow is None:
        lines.append("No keys are held in escrow, so withholding cannot be cured: nobody can release in its place.")
    if content is None or content.rows is None:
        lines.append("The figures cannot be recomputed at this stage; they were sealed before release.")
    elif "C7" not in content.classes:
        lines.append("The grades cannot be repeated at this stage; they were fixed before anything was opened.")
    if predicate is not None and predicate.validity is not None and predicate.validity.judged is not None:
        lines.append(
            f"{predicate.validity.judged} grades are a model's word: they were fixed and can be read, not recomputed."
        )
    agreed = agreement.access.business_days
    if predicate is not None and Decimal(predicate.transcript.effective_access_business_days) < Decimal(agreed):
        given = predicate.transcript.effective_access_business_days
        lines.append(f"The lab gave {given} business days of access of the {agreed} it had agreed to.")
    if transcript.exchanges.tally.counts["ABORTED_CRASH"]:
        lines.append("Some exchanges were aborted by crashes and asked again as new attempts.")
    if published:
        lines.append("The identity-based signature says who published the attestation, not that what it says is so.")
    lines += told(transcript.exchanges.training, transcript.destructions, transcript.exchanges.declined)
    return (*lines, *_disclosed(transcript, content))


def _one_layout(content: Content | None) -> Iterator[str]:
    if content is not None and content.aggregate is not None and not content.aggregate.plan.formats:
        yield "No figure over formats was planned: how far the layout of the questions moves the others is not known."


def _elicited(predicate: AuditPredicate | None) -> Iterator[str]:
    claim = None if predicate is None else predicate.elicitation
    if predicate is None or claim is None:
        return
    answers = {
        "notAsked": "The lab was not asked how to elicit its model.",
        "notProvided": "The lab was shown the DEV tasks and gave no elicitation pack before TEST began.",
        "late": "The lab's elicitation pack came after TEST had begun and was not used.",
        "declined": f"The lab was shown the DEV tasks and declined to advise: {claim.lab_pack.reason}",
        "providedButBroken": "The lab's elicitation pack was not answered on the DEV tasks and was not used.",
    }
    if claim.lab_pack.status in answers:
        yield answers[claim.lab_pack.status]
    for arm in claim.arms:
        if arm.status == "notRun":
            yield f"The arm {arm.id} was registered and not run: {arm.reason or 'TEST never began'}."
    for hook in claim.hooks:
        if hook.status == "REFUSED":
            yield f"The lab refused the {hook.hook} hook; what it would have drawn out is not known."
    if predicate.validity is not None and predicate.validity.sandbagging == "promptOnly":
        yield "Sandbagging was not assessed by fine-tuning: prompts draw out little of what a model holds back."
    counted = sum(int(item.exchanges) for item in claim.exploratory)
    if counted:
        yield f"{counted} exchanges were exploratory; they belong to no task and feed no figure."


def _disclosed(transcript: Transcript, content: Content | None) -> Iterator[str]:
    ledger = transcript.ledger
    if ledger.aborted is not None:
        yield f"The auditor gave this engagement up: {ledger.aborted.reason}"
    if content is not None and content.views:
        yield f"Of {', '.join(content.views)} this file shows single fields; what is closed is counted, not judged."
    for correction in ledger.corrections.values():
        yield f"Document {correction.corrects[:12]} was corrected: {correction.text}"
    for recall in ledger.recalls:
        yield f"A party asks not to pass on release {recall.release[:12]}: {recall.reason}"
    orders = sum(event.name == "ORDER" for event in ledger.events)
    if orders or ledger.notices:
        yield f"In the log stand {orders} orders by regulators and {len(ledger.notices)} emergency notices."
    for finding in (logged.document for logged in ledger.findings):
        what = "says that it has no finding" if finding.report is None else f"gave finding {finding.id}"
        yield f"The auditor {what} for {', '.join(finding.to)}; what findings say is in no evidence file."
    if ledger.held:
        yield f"Disclosure was held back by {ledger.held} business days in all."
