"""The folder of the auditor whose audit `World` makes: its identities and settings, without a private key."""

from __future__ import annotations

from pathlib import Path

from attestations.identity import Identity
from tests.support.world_agreement import keys, party


def write_home(folder: Path) -> Path:
    """Write the folder and return it."""
    folder.mkdir()
    for name, role, signers in (
        ("lab-identity", "lab", keys().lab()),
        ("identity", "auditor", keys().auditor()),
    ):
        known = party(role, f"{role}.example", signers)
        identity = Identity(role=known.role, id=known.id, keys=known.keys)
        (folder / f"{name}.json").write_bytes(identity.to_bytes())
    (folder / "auditor.toml").write_text('engagement = "audit-1"\n')
    return folder
