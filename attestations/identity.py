"""An identity file: the public keys of one party, handed over out of band before anything else."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field, ValidationError

from attestations.documents.agreement import Group, Party, PartyKey, PartyRole
from attestations.documents.base import Name, Part, decode
from attestations.errors import ConfigurationInvalid
from attestations.keys import KeyUse, enrol

MAX_IDENTITY_BYTES = 1 << 18


class Identity(Part):
    """One party's name, role, keys and TLS certificate (PEM; None for a party that opens no connection)."""

    v: Literal["safeconduct-identity/v1"] = "safeconduct-identity/v1"
    role: PartyRole
    id: Name
    keys: tuple[PartyKey, ...] = Field(max_length=16)
    tls: str | None = Field(default=None, max_length=16_384)
    group: Group | None = None

    def party(self) -> Party:
        """Return this identity as a party of an agreement."""
        return Party(role=self.role, id=self.id, keys=self.keys, group=self.group)

    def to_bytes(self) -> bytes:
        """Return the file's text."""
        return json.dumps(self.json_value(), indent=2).encode() + b"\n"


def parse_identity(data: bytes) -> Identity:
    """Read an identity file and check every key in it.

    Raises:
        ConfigurationInvalid: it is not one; the message names the field.
        KeyUnacceptable: a key is malformed, of small order or of the wrong kind for its use.
    """
    if len(data) > MAX_IDENTITY_BYTES:
        raise ConfigurationInvalid("an identity file is smaller than 256 KiB", field="identity")
    try:
        identity = Identity.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(step) for step in first["loc"])
        raise ConfigurationInvalid(f"the identity file: {field or 'document'}: {first['msg']}", field=field) from None
    for key in identity.keys:
        enrol(identity.id, KeyUse(key.use), decode(key.public))
    return identity
