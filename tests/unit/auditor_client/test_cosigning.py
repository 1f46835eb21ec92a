"""The short way to a leaf's bytes gives what the long way gives."""

from __future__ import annotations

from attestations.log_entries import parse_entry
from auditor_client.cosigning import leaf_of
from tests.unit.auditor_client.conftest import Audit


async def test_a_leaf_put_together_from_envelopes_is_the_leaf_that_is_logged(audit: Audit) -> None:
    await audit.run()

    for leaf in audit.lab.leaves_:
        entry = parse_entry(leaf)
        assert leaf == leaf_of(entry.kind, *(document.to_bytes() for document in entry.documents))
