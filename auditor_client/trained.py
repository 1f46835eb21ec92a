"""What fine-tuning has made of the lab's models, as the auditor's journal holds it."""

from __future__ import annotations

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.documents.exchange import Intent, Promise, Record
from attestations.documents.finetuning import TrainingStatement
from attestations.envelope import Envelope, envelope_from_json, parse_envelope
from auditor_client.engagement import Engagement
from auditor_client.ports import Journal

_PREFIX = "training/"


async def take_training(
    engagement: Engagement, journal: Journal, intent: bytes, promise: Promise, record: Record, recorded: Envelope
) -> None:
    """Take a Record into the engagement's account of training, once it is kept; the same again changes nothing.

    Args:
        engagement: whose account it is.
        journal: where it is kept.
        intent: the envelope of the Intent, in its one form.
        promise: the Promise of it.
        record: the Record.
        recorded: the envelope that was checked and holds it.

    Raises:
        VariantMismatch, UsageMeterMismatch: its statement cannot stand there.
    """
    if not isinstance(record.hook, TrainingStatement):
        return
    promised = int(promise.log_index)
    asked = parse_envelope(intent)
    kept = canonical_bytes({"intent": asked.to_json(), "promised": promised, "record": recorded.to_json()})
    await journal.remember(f"{_PREFIX}{int(record.log_index):015}", kept)
    engagement.training.take(engagement.agreement, Intent.parse(asked.payload), record, promised=promised)


def load_training(engagement: Engagement, journal: Journal) -> None:
    """Bring the engagement's account of training up to what the journal holds."""
    for name in journal.names(_PREFIX):
        value = parse_canonical(journal.recall(name) or b"")
        intent, record = (envelope_from_json(value[part]) for part in ("intent", "record"))
        asked, parsed = Intent.parse(intent.payload), Record.parse(record.payload)
        engagement.training.take(engagement.agreement, asked, parsed, promised=value["promised"])
