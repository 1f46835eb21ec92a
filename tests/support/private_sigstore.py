"""A private Sigstore on loopback, started by the tests themselves.

It is a fixture and not a Sigstore deployment: it keeps its keys in memory, monitors nothing and offers what one
signer and its verifiers need (OIDC issuer, certificate authority with CT, Rekor v2 subset, RFC 3161 timestamps).
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.private_sigstore_ca import CertificateAuthority, Issuer, RefusedTokenError
from tests.support.private_sigstore_log import RefusedEntryError, TransparencyLog
from tests.support.private_sigstore_tsa import TimestampAuthority

ISSUER = "https://issuer.private.example"
_CERTIFY, _LOG, _STAMP = "/api/v2/signingCert", "/api/v2/log/entries", "/api/v1/timestamp"


class Fault(StrEnum):
    """How a service misbehaves."""

    REFUSE = "answers 400"
    BREAK = "answers 500"
    STALL = "does its work and never answers"
    GARBAGE = "answers with nonsense"


class PrivateSigstore:
    """Every service behind one address; `faults` says which of them misbehave."""

    def __init__(self, address: str, now: datetime) -> None:
        self.address = address
        self._start = now
        self.issuer = Issuer(ISSUER)
        self.authority = CertificateAuthority(self.issuer, now)
        self.timestamps = TimestampAuthority(now)
        self.log = TransparencyLog()
        self.faults: dict[str, Fault] = {}
        self.asked: list[str] = []
        self.released = threading.Event()  # what stalls answers after this

    CA, TLOG, TSA = _CERTIFY, _LOG, _STAMP

    def token(self, identity: str = "auditor@auditor.example", **options: Any) -> str:
        """Return an identity token of our issuer."""
        return self.issuer.token(identity, **options)

    def trust_config(self) -> dict[str, Any]:
        """Return the ClientTrustConfig of this instance."""
        start = self._start.strftime("%Y-%m-%dT%H:%M:%SZ")
        since = {"validFor": {"start": start}}
        services = {
            name: [{"url": url, "majorApiVersion": version, "operator": "tests", **since}]
            for name, url, version in (
                ("caUrls", self.address, 1),
                ("oidcUrls", ISSUER, 1),
                ("rekorTlogUrls", self.address, 2),
                ("tsaUrls", self.address + _STAMP, 1),
            )
        }
        selector = {"selector": "ANY"}
        return {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [
                    _log(self.log.origin, self.log.public, "PKIX_ED25519", self.log.id, since),
                ],
                "certificateAuthorities": [_chain(self.authority.root, since=since)],
                "ctlogs": [
                    _log(
                        "ct.private.example",
                        self.authority.ct_public,
                        "PKIX_ECDSA_P256_SHA_256",
                        self.authority.ct_id,
                        since,
                    )
                ],
                "timestampAuthorities": [_chain(self.timestamps.leaf, self.timestamps.root, since=since)],
            },
            "signingConfig": {
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                **services,
                "rekorTlogConfig": selector,
                "tsaConfig": selector,
            },
        }

    def config(self) -> bytes:
        """Return the ClientTrustConfig as a file's bytes."""
        return json.dumps(self.trust_config()).encode()

    def answer(self, path: str, body: bytes, token: str) -> tuple[int, bytes]:
        """Return status and body for one request."""
        self.asked.append(path)
        fault = self.faults.get(path)
        if fault is Fault.REFUSE:
            return 400, b'{"code": 3, "message": "no"}'
        if fault is Fault.BREAK:
            return 500, b""
        if fault is Fault.GARBAGE:
            return 201, b"\xff{"
        answer = self._answer(path, body, token)
        if fault is Fault.STALL:
            self.released.wait(60)
        return answer

    def _answer(self, path: str, body: bytes, token: str) -> tuple[int, bytes]:
        if path == _STAMP:
            return 201, self.timestamps.stamp(body)
        try:
            if path == _CERTIFY:
                csr = base64.b64decode(json.loads(body)["certificateSigningRequest"])
                chain = [item.public_bytes(Encoding.PEM).decode() for item in self.authority.certify(token, csr)]
                reply = {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}
                return 200, json.dumps(reply).encode()
            if path == _LOG:
                return 201, json.dumps(self.log.add(json.loads(body))).encode()
        except RefusedTokenError as error:
            return 401, json.dumps({"code": 16, "message": str(error)}).encode()
        except RefusedEntryError:
            return 400, b"{}"
        return 404, b"{}"


def _log(name: str, public: bytes, details: str, key_id: bytes, since: dict[str, Any]) -> dict[str, Any]:
    return {
        "baseUrl": f"https://{name}",
        "hashAlgorithm": "SHA2_256",
        "publicKey": {"rawBytes": base64.b64encode(public).decode(), "keyDetails": details, **since},
        "logId": {"keyId": base64.b64encode(key_id).decode()},
    }


def _chain(*certificates: x509.Certificate, since: dict[str, Any]) -> dict[str, Any]:
    raw = [{"rawBytes": base64.b64encode(item.public_bytes(Encoding.DER)).decode()} for item in certificates]
    return {
        "subject": {"organization": "private.example", "commonName": "private fixture"},
        "uri": "https://private.example",
        "certChain": {"certificates": raw},
        **since,
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    sigstore: PrivateSigstore


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # unbuffered, headers and body go in two packets and wait 40 ms for each other
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        status, answer = self.server.sigstore.answer(self.path, body, token)
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
        except OSError:  # nobody waits any more
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def private_sigstore() -> Iterator[PrivateSigstore]:
    """Serve a new instance on an ephemeral port of 127.0.0.1, which no proxy of this machine stands before."""
    server = _Server(("127.0.0.1", 0), _Handler)
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=10)
    server.sigstore = PrivateSigstore(f"http://127.0.0.1:{server.server_address[1]}", now)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("NO_PROXY", "no_proxy"):
                patch.setenv(name, "127.0.0.1")
            yield server.sigstore
    finally:
        server.sigstore.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
