"""Who may state which event of the disclosure policy: the key decides, so an auditor cannot consent for the lab."""

from __future__ import annotations

from attestations.documents.engagement import PolicyEvent
from attestations.envelope import Envelope, open_document
from attestations.errors import AttributionFailed, MalformedEnvelope, SafeconductError
from attestations.policy.evaluate import HOLD, held_days
from attestations.verify.parties import Parties

# Every other event is read off the log itself, or is for a party that signs nothing in this version.
STATED_BY = {
    "AUDITOR_CONSENT": "auditor",
    "REMEDIATION_CONFIRMED": "auditor",
    HOLD: "lab",
    "LAB_CONSENT": "lab",
    "MARKET_PLACEMENT": "lab",
}


def open_event(envelope: Envelope, parties: Parties) -> tuple[str, PolicyEvent]:
    """Return a statement and the role that made it.

    Raises:
        AttributionFailed: it is not for this party to state.
        MalformedEnvelope: a hold without a number of business days.
        SignatureInvalid, SignerRoleMismatch: it is by neither side's agreement key.
    """
    role = "lab"
    try:
        document = open_document(envelope, PolicyEvent, required=(parties.lab_agreement,), known=parties.known)
    except SafeconductError:
        role = "auditor"
        document = open_document(envelope, PolicyEvent, required=(parties.auditor_agreement,), known=parties.known)
    if STATED_BY.get(document.event) != role:
        raise AttributionFailed(f"{document.event} is not for the {role} to state", event=document.event)
    if document.event == HOLD and not held_days(document.argument):
        raise MalformedEnvelope("a hold is a number of business days", event=document.event)
    return role, document
