"""Whom a reader trusts: the one input of verification that does not come from the parties.

A trust file is written by the reader (`safeconduct trust`) from identity files obtained out of band.
It is plain JSON for people to edit; it is not signed, because it is the reader's own word.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from attestations.documents.agreement import Party, PartyKey, PartyRole, Witness
from attestations.documents.base import Base64, Name, Part, Time, decode, parse_time
from attestations.errors import ConfigurationInvalid, KeyRevoked, UntrustedParty
from attestations.keys import KeyUse, enrol

MAX_TRUST_BYTES = 1 << 20


class TrustedParty(Part):
    """An organisation and the keys the reader knows it by."""

    role: PartyRole
    id: Name
    keys: tuple[PartyKey, ...]


class RevokedKey(Part):
    """A key that must not be believed for anything signed at `at` or later."""

    public: Base64
    at: Time


class Trust(Part):
    """Every key the reader trusts, and those it no longer does."""

    v: Literal["safeconduct-trust/v1"] = "safeconduct-trust/v1"
    parties: Annotated[tuple[TrustedParty, ...], Field(min_length=1, max_length=256)]
    revoked: tuple[RevokedKey, ...] = ()
    witnesses: tuple[Witness, ...] = ()

    def confirm(self, party: Party) -> None:
        """Check that every key an agreement gives a party is one the reader trusts for the same use.

        Raises:
            UntrustedParty: the party, its role or one of its keys is not in the trust file.
        """
        trusted = [known for known in self.parties if (known.role, known.id) == (party.role, party.id)]
        if not trusted:
            raise UntrustedParty(f"{party.role} {party.id} is not in the trust file", role=party.role, party=party.id)
        known_keys = {(key.use, key.public) for known in trusted for key in known.keys}
        for key in party.keys:
            if (key.use, key.public) not in known_keys:
                raise UntrustedParty(
                    f"the {key.use} key of {party.id} is not in the trust file", party=party.id, use=key.use
                )

    def revoked_at(self, public: str) -> str | None:
        """Return when a key (base64 text) was revoked, or None."""
        times = [key.at for key in self.revoked if key.public == public]
        return min(times, key=parse_time, default=None)

    def check_not_revoked(self, public: str, *, party: str, use: str, signed_at: str) -> None:
        """Refuse a key for what it signed at `signed_at`, the surest lower bound of the time.

        Raises:
            KeyRevoked: the key was revoked at or before that time.
        """
        revoked = self.revoked_at(public)
        if revoked is not None and parse_time(revoked) <= parse_time(signed_at):
            raise KeyRevoked(f"the {use} key of {party} was revoked at {revoked}", party=party, use=use, at=revoked)


def parse_trust(data: bytes) -> Trust:
    """Read a trust file.

    Raises:
        ConfigurationInvalid: it is not one; the message names the field.
        KeyUnacceptable: it holds a malformed or small-order key.
    """
    if len(data) > MAX_TRUST_BYTES:
        raise ConfigurationInvalid("the trust file is larger than 1 MiB", field="trust")
    try:
        value = json.loads(data)
        trust = Trust.model_validate_json(json.dumps(value))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(step) for step in first["loc"])
        raise ConfigurationInvalid(f"the trust file: {field or 'document'}: {first['msg']}", field=field) from None
    except (ValueError, RecursionError):
        raise ConfigurationInvalid("the trust file is not JSON", field="trust") from None
    for party in trust.parties:
        for key in party.keys:
            enrol(party.id, KeyUse(key.use), decode(key.public))
    return trust
