"""The standard words beside each machine-readable clause, for agreements to sign and for pages to show."""

from __future__ import annotations

from attestations.documents.agreement import Clauses, Wording

TITLES = {
    "nogag": "No gag",
    "safeharbor": "Safe harbour",
    "publication": "Publication",
    "authorship": "Authorship",
    "training": "No training",
    "retention": "Retention",
    "finetuning": "Fine-tuning",
    "funding": "Funding",
}
_ABSENT = "Not promised by this agreement."
_PUBLICATION = {
    "none": "The auditor publishes without prior review by the lab, as the disclosure policy permits.",
    "review": (
        "The lab may read what the auditor is about to publish and may object within the time the disclosure policy "
        "gives it. An objection is published beside the finding; it is not a veto. The lab may ask that its "
        "confidential material, and only that, is left out; what is left out is counted and shown as left out."
    ),
    "approval": "The auditor publishes only what the lab approves.",
}
_FUNDING = {
    "none": "The lab pays the auditor nothing for this audit.",
    "fee": "The lab pays the auditor a fee.",
    "grant": "The audit is funded by a grant that does not come from the lab.",
}
_AUTHORSHIP = {
    "auditor": "Findings are the auditor's own. The lab may publish a response of its own at any time.",
    "joint": (
        "Lab and auditor work as one red team and may write findings together. Each side may publish its own "
        "conclusions where they differ, within the disclosure policy, and neither speaks for the other."
    ),
}
_FINE_TUNING = {
    "none": "The lab does not train the model on the auditor's tasks, and the auditor has no fine-tuning access.",
    "lab_operated": (
        "The lab trains copies of the model on demonstrations the auditor hands over for that purpose, on its own "
        "machines, and serves them under this agreement as variants of their own. The copies are deleted when the "
        "retention period ends and are used for nothing else. A refused or failed training run is recorded as such."
    ),
}


def standard_wording(clauses: Clauses) -> tuple[Wording, ...]:
    """Return the standard words for every clause, in the order of `TITLES`."""
    texts = {
        "nogag": (
            "Nothing in this agreement or outside it stops the auditor, its staff or its contractors from telling the "
            "regulator and the lab's safety team, at any time and without the lab's consent, about what they believe "
            "to be an imminent and severe harm."
            if clauses.no_gag
            else _ABSENT
        ),
        "safeharbor": (
            "The lab treats what the auditor does in good faith within the agreed scope as authorised. It takes no "
            "legal action and no measure against accounts because of it, does not report it as an attack, and does not "
            "retaliate against the auditor, its staff or its contractors for what they report or publish."
            if clauses.safe_harbor
            else _ABSENT
        ),
        "publication": _PUBLICATION[clauses.publication_control],
        "authorship": _AUTHORSHIP[clauses.authorship],
        "training": (
            "The lab uses the auditor's tasks, prompts, targets and grades, and the model's answers to them, for no "
            "training and no tuning of any model, filter or classifier, and gives them to nobody who would."
            if clauses.no_training
            else _ABSENT
        ),
        "retention": _retention(clauses),
        "finetuning": _FINE_TUNING[clauses.fine_tuning],
        "funding": _FUNDING[clauses.funding]
        + (
            " Part of the payment depends on the result."
            if clauses.contingent_pay
            else " No payment depends on the result."
        ),
    }
    return tuple(Wording(clause=name, text=texts[name]) for name in TITLES)


def _retention(clauses: Clauses) -> str:
    kept = clauses.retention
    if kept is None:
        return _ABSENT
    return (
        f"The lab deletes the readable prompts and answers at the latest {_days(kept.lab_days)}, and the auditor the "
        f"model's answers at the latest {_days(kept.auditor_days)} after the run has closed. Both keep the signed log, "
        "sealed packages and what this agreement obliges them to release. On request each side confirms the deletion "
        "in a signed statement."
    )


def _days(count: int) -> str:
    return "at once, and in any case on the day" if not count else f"{count} day{'s' if count != 1 else ''}"
