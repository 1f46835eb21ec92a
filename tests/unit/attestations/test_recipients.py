"""Which parties stand behind each recipient a policy can name."""

from __future__ import annotations

import pytest

from attestations.documents.agreement import Agreement, Party
from attestations.documents.base import validated
from attestations.errors import MalformedEnvelope
from attestations.recipients import recipients_of
from tests.support.world_agreement import agreement

_OTHERS = (
    Party(role="regulator", id="office.example", keys=()),
    Party(role="escrow", id="notary", keys=()),
    Party(role="recipient", id="peer.example", keys=()),
    Party(role="recipient", id="bio.example", keys=(), group="bio"),
    Party(role="recipient", id="cyber.example", keys=(), group="cyber"),
)


def _agreement() -> Agreement:
    agreed = agreement()
    return agreed.model_copy(update={"parties": (*agreed.parties, *_OTHERS)})


@pytest.mark.parametrize(
    ("recipient", "names"),
    [
        ("PUBLIC", []),
        ("REGULATOR", ["office.example"]),
        ("LAB_SAFETY", ["lab.example"]),
        ("LAB_ALL", ["lab.example"]),
        ("ESCROW(notary)", ["notary"]),
        ("ESCROW(other)", []),
        ("PEER_AUDITOR", ["peer.example"]),
        ("CLEARED(bio)", ["bio.example"]),
        ("CLEARED(chem)", []),
    ],
)
def test_a_recipient_stands_for_the_parties_of_its_role_and_group(recipient: str, names: list[str]) -> None:
    """One mapping for lab, auditor, escrow holders and the verifier."""
    assert [party.id for party in recipients_of(_agreement(), recipient)] == names


def test_only_a_recipient_belongs_to_a_group() -> None:
    """A regulator in a cleared group would get what neither role alone may have."""
    stray = Party(role="regulator", id="stray.example", keys=(), group="bio")
    value = _agreement().json_value()
    value["parties"].append(stray.json_value())
    with pytest.raises(MalformedEnvelope):
        validated(Agreement, value)
