"""Step 10, keys: each key in the file is the registered and the sealed one, and everything committed to is sealed."""

from __future__ import annotations

import re
from collections.abc import Iterable

from attestations.canonical import parse_canonical
from attestations.commitments import ClassKey
from attestations.container import Container
from attestations.documents.engagement import PackageManifest, PreRegistration
from attestations.errors import (
    EvidenceMissing,
    HazardFieldExposed,
    KeyCommitmentMismatch,
    MalformedEnvelope,
    PackageManifestMismatch,
)

MAX_KEYS_BYTES = 4096
NEVER_SHOWN = "C9"
_KEY = re.compile(r"[0-9a-f]{64}")


def check_manifest(registration: PreRegistration, manifest: PackageManifest) -> None:
    """Check that every package is sealed under the key registered for its class, one package a class.

    Raises:
        PackageManifestMismatch, KeyCommitmentMismatch.
    """
    registered = {item.content_class: item.commitment for item in registration.class_keys}
    if len({package.content_class for package in manifest.packages}) != len(manifest.packages):
        raise PackageManifestMismatch("two packages of one class")
    for package in manifest.packages:
        if registered.get(package.content_class) != package.key_commitment:
            raise KeyCommitmentMismatch(
                f"{package.content_class} is sealed under another key than was registered",
                content_class=package.content_class,
            )


def check_sealed(manifest: PackageManifest, committed: Iterable[str]) -> None:
    """Check that every class something was committed to in has a package.

    Raises:
        PackageManifestMismatch: one has not, so it could never be opened.
    """
    missing = set(committed) - {package.content_class for package in manifest.packages}
    if missing:
        raise PackageManifestMismatch(f"nothing of {min(missing)} was sealed", content_class=min(missing))


def read_keys(container: Container, registration: PreRegistration, manifest: PackageManifest) -> dict[str, ClassKey]:
    """Return the class keys the file opens.

    Raises:
        HazardFieldExposed: the key of hazardous fields is among them.
        KeyCommitmentMismatch: a key is not the committed one.
        MalformedEnvelope, NonCanonicalDocument: the member is not of its form.
    """
    if "keys.json" not in container.names:
        return {}
    value = parse_canonical(container.read("keys.json", limit=MAX_KEYS_BYTES))
    if not isinstance(value, dict) or not value:
        raise MalformedEnvelope("keys.json maps classes to keys", member="keys.json")
    sealed = {package.content_class: package.key_commitment for package in manifest.packages}
    keys: dict[str, ClassKey] = {}
    for content_class, text in value.items():
        if content_class == NEVER_SHOWN:
            raise HazardFieldExposed("the file holds the key of hazardous fields")
        if not isinstance(text, str) or not _KEY.fullmatch(text):
            raise MalformedEnvelope("a key is 64 hex digits", member="keys.json")
        if content_class not in sealed:
            raise EvidenceMissing("keys.json holds a key of nothing that is sealed", member="keys.json")
        key = ClassKey(bytes.fromhex(text), registration.suite.id, content_class)
        if key.commitment() != sealed[content_class]:
            raise KeyCommitmentMismatch(
                f"the key of {content_class} is not the committed one", content_class=content_class
            )
        keys[content_class] = key
    return keys
