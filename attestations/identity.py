"""An identity file: the public keys of one party, handed over out of band before anything else."""

from __future__ import annotations

import json
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate
from pydantic import Field, TypeAdapter, ValidationError

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


def check_name(party: str) -> None:
    """Refuse a name that no document could hold.

    Raises:
        ConfigurationInvalid: it has other signs than names may have, or too many.
    """
    try:
        TypeAdapter(Name).validate_python(party)
    except ValidationError:
        raise ConfigurationInvalid("a name is letters, digits and . _ : / @ + -, at most 128", field="name") from None


def check_tls_key(identity: Identity, private: bytes, *, file: str) -> None:
    """Refuse a TLS key that is not the one of the identity's certificate: the other side would only see a broken call.

    Raises:
        ConfigurationInvalid: it is not a private key, the certificate is none, or they do not belong together.
    """
    try:
        key = load_pem_private_key(private, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigurationInvalid(f"{file} is not a private key", field="tls") from None
    try:
        certificate = load_pem_x509_certificate((identity.tls or "").encode())
    except ValueError:
        raise ConfigurationInvalid("the identity file holds no TLS certificate", field="tls") from None
    if key.public_key() != certificate.public_key():
        raise ConfigurationInvalid(f"{file} is not the key of the certificate in identity.json", field="tls")


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
