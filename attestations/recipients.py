"""Who stands behind a recipient that a policy names: the one mapping from recipients to the agreement's parties.

PUBLIC              everybody, so no party
REGULATOR           the parties of role regulator
LAB_SAFETY, LAB_ALL the lab
ESCROW(x)           the party of role escrow whose id is x
CLEARED(group)      the parties of role recipient of that group
PEER_AUDITOR        the parties of role recipient of no group
"""

from __future__ import annotations

import re

from attestations.documents.agreement import Agreement, Party

_NAMED = re.compile(r"(?P<kind>CLEARED|ESCROW)\((?P<name>[a-z0-9-]{1,32})\)")
_ROLES = {"REGULATOR": "regulator", "LAB_SAFETY": "lab", "LAB_ALL": "lab"}


def recipients_of(agreement: Agreement, recipient: str) -> tuple[Party, ...]:
    """Return the parties to whom a release to `recipient` is handed; none for PUBLIC, which is everybody."""
    return tuple(party for party in agreement.parties if _is_meant(party, recipient))


def _is_meant(party: Party, recipient: str) -> bool:
    if recipient in _ROLES:
        return party.role == _ROLES[recipient]
    if recipient == "PEER_AUDITOR":
        return party.role == "recipient" and party.group is None
    named = _NAMED.fullmatch(recipient)
    if named is None:
        return False
    if named["kind"] == "ESCROW":
        return party.role == "escrow" and party.id == named["name"]
    return party.role == "recipient" and party.group == named["name"]
