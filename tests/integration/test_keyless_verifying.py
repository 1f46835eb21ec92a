"""Verifying an identity-based signature: offline, against one identity and one instance, and nothing else passes."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from attestations.errors import (
    ConfigurationInvalid,
    KeylessIdentityMismatch,
    KeylessSignatureInvalid,
    MalformedEnvelope,
    SafeconductError,
    SizeLimitExceeded,
)
from attestations.keyless import MAX_BUNDLE_BYTES, MAX_CONFIG_BYTES, Instance, Publisher
from tests.support.keyless_files import WHO, b64, changed, signed, statement
from tests.support.private_sigstore import ISSUER, PrivateSigstore, private_sigstore

US = Publisher(WHO, ISSUER)


@pytest.fixture(scope="module")
def standing() -> Iterator[PrivateSigstore]:
    """One instance for every test here."""
    with private_sigstore() as instance:
        yield instance


@pytest.fixture(scope="module")
def ours(standing: PrivateSigstore) -> bytes:
    """A bundle that holds, and is not the first of its log."""
    signed(standing, statement("earlier"))
    return signed(standing, statement()).bundle


def test_verifying_opens_no_connection(standing: PrivateSigstore, ours: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    config = standing.config()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("verification opened a connection")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert statement() == Instance(config).verify(ours, US)


def _payload(value: dict[str, Any]) -> None:
    value["dsseEnvelope"]["payload"] = b64(statement("b"))


def _no_timestamp(value: dict[str, Any]) -> None:
    value["verificationMaterial"]["timestampVerificationData"] = {"rfc3161Timestamps": []}


def _index(value: dict[str, Any]) -> None:
    value["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["logIndex"] = "0"


def _no_certificate(value: dict[str, Any]) -> None:
    value["verificationMaterial"].pop("certificate")


def _no_entry(value: dict[str, Any]) -> None:
    value["verificationMaterial"]["tlogEntries"] = []


def _type(value: dict[str, Any]) -> None:
    value["dsseEnvelope"]["payloadType"] = "text/plain"


def _signature(value: dict[str, Any]) -> None:
    value["dsseEnvelope"]["signatures"] = []


class TestRefusals:
    @pytest.mark.parametrize("who", [Publisher("other@auditor.example", ISSUER), Publisher(WHO, ISSUER + "/")])
    def test_another_identity_or_issuer_is_refused(
        self, standing: PrivateSigstore, ours: bytes, who: Publisher
    ) -> None:
        with pytest.raises(KeylessIdentityMismatch) as caught:
            Instance(standing.config()).verify(ours, who)
        assert WHO not in caught.value.message  # nothing of a bundle is shown before all of it is verified

    @pytest.mark.parametrize("who", [Publisher(WHO, ""), Publisher("", ISSUER)])
    def test_nobody_in_particular_is_no_expectation(
        self, standing: PrivateSigstore, ours: bytes, who: Publisher
    ) -> None:
        with pytest.raises(ConfigurationInvalid):
            Instance(standing.config()).verify(ours, who)

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            (_payload, KeylessSignatureInvalid),
            (_type, KeylessSignatureInvalid),
            (_index, KeylessSignatureInvalid),
            (_signature, KeylessSignatureInvalid),
            (_no_timestamp, MalformedEnvelope),
            (_no_certificate, MalformedEnvelope),
            (_no_entry, MalformedEnvelope),
        ],
    )
    def test_a_bundle_with_one_change_is_refused(
        self,
        standing: PrivateSigstore,
        ours: bytes,
        change: Callable[[dict[str, Any]], None],
        expected: type[SafeconductError],
    ) -> None:
        with pytest.raises(expected):
            Instance(standing.config()).verify(changed(ours, change), US)

    @pytest.mark.parametrize("part", ["certificate", "tlogEntries", "timestampVerificationData"])
    def test_no_part_of_another_bundle_fits(self, standing: PrivateSigstore, ours: bytes, part: str) -> None:
        """Swapped entry, timestamp or certificate, each by itself as genuine as ours."""
        theirs = json.loads(signed(standing, statement("theirs")).bundle)["verificationMaterial"][part]

        with pytest.raises(KeylessSignatureInvalid):
            Instance(standing.config()).verify(
                changed(ours, lambda value: value["verificationMaterial"].update({part: theirs})), US
            )

    def test_a_checkpoint_of_another_log_is_refused(self, standing: PrivateSigstore, ours: bytes) -> None:
        with private_sigstore() as other:
            signed(other, statement("earlier"))
            foreign = json.loads(signed(other, statement()).bundle)["verificationMaterial"]["tlogEntries"][0]

        def swap(value: dict[str, Any]) -> None:
            proof = value["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]
            proof["checkpoint"] = foreign["inclusionProof"]["checkpoint"]

        with pytest.raises(KeylessSignatureInvalid):
            Instance(standing.config()).verify(changed(ours, swap), US)

    def test_a_bundle_of_another_instance_is_refused(self, standing: PrivateSigstore) -> None:
        with private_sigstore() as other:
            foreign = signed(other, statement()).bundle

        with pytest.raises(KeylessSignatureInvalid):
            Instance(standing.config()).verify(foreign, US)

    @pytest.mark.parametrize(
        "data",
        [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"mediaType": 1}', b"PK\x03\x04" + bytes(100)],
    )
    def test_what_is_no_bundle_is_said(self, standing: PrivateSigstore, data: bytes) -> None:
        with pytest.raises(MalformedEnvelope, match="not an identity-based Sigstore bundle"):
            Instance(standing.config()).verify(data, US)

    def test_a_bundle_beyond_the_limit_is_not_parsed(self, standing: PrivateSigstore, ours: bytes) -> None:
        with pytest.raises(SizeLimitExceeded):
            Instance(standing.config()).verify(ours + b" " * MAX_BUNDLE_BYTES, US)


class TestTrustConfigurations:
    @pytest.mark.parametrize(
        "data",
        [b"", b"{", b"[]", b"null", b"{}", b"\xff", b"[" * 100_000, b" " * (MAX_CONFIG_BYTES + 1)],
    )
    def test_what_is_none_is_one_sentence(self, data: bytes) -> None:
        with pytest.raises(ConfigurationInvalid) as caught:
            Instance(data)
        assert "trust configuration" in caught.value.message
        assert "\n" not in caught.value.message

    @pytest.mark.parametrize("part", ["certificateAuthorities", "timestampAuthorities"])
    def test_a_damaged_certificate_is_found_when_it_is_read(self, standing: PrivateSigstore, part: str) -> None:
        value = standing.trust_config()
        value["trustedRoot"][part][0]["certChain"]["certificates"][0]["rawBytes"] = b64(b"nonsense")

        with pytest.raises(ConfigurationInvalid):
            Instance(json.dumps(value).encode())

    def test_the_field_that_is_wrong_is_named(self, standing: PrivateSigstore) -> None:
        value = standing.trust_config()
        value["trustedRoot"]["tlogs"][0].pop("baseUrl")

        with pytest.raises(ConfigurationInvalid, match=r"trustedRoot\.tlogs\.0\.baseUrl: Field required"):
            Instance(json.dumps(value).encode())

    @pytest.mark.parametrize("part", ["ctlogs", "tlogs", "certificateAuthorities", "timestampAuthorities"])
    def test_without_a_root_nothing_verifies(self, standing: PrivateSigstore, part: str) -> None:
        bundle = signed(standing, statement()).bundle
        value = standing.trust_config()
        value["trustedRoot"][part] = []

        with pytest.raises((ConfigurationInvalid, KeylessSignatureInvalid)):
            Instance(json.dumps(value).encode()).verify(bundle, US)
