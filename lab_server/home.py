"""The lab's folder: settings, keys, the store, sealed packages, admitted auditors and the socket of the worker."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from attestations.digests import sha256
from attestations.documents.agreement import PartyKey
from attestations.documents.base import encode
from attestations.errors import ConfigurationInvalid, FileUnusable, StoreFailed
from attestations.files import read_file, shown, unreadable, unwritable, write_file
from attestations.identity import MAX_IDENTITY_BYTES, Identity, check_name, check_tls_key, parse_identity
from attestations.keys import Ed25519Signer, KeyUse, P256Signer, Signer, signer_from_pem
from lab_server.keyring import LabKeys
from lab_server.settings import TEMPLATE

_USES = (KeyUse.AGREEMENT, KeyUse.RECORD, KeyUse.LOG)
_CERTIFICATE_LIFE = timedelta(days=3650)  # pinned by key in the agreement: expiry adds nothing


@dataclass(frozen=True)
class Home:
    """Where everything of one lab lies."""

    path: Path

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.path / "lab.toml"

    @property
    def identity(self) -> Path:
        """The public keys, to be handed to auditors and readers."""
        return self.path / "identity.json"

    @property
    def store(self) -> Path:
        """The store's file."""
        return self.path / "store.sqlite"

    @property
    def auditors(self) -> Path:
        """The identity files of admitted auditors."""
        return self.path / "auditors"

    @property
    def log(self) -> Path:
        """The gateway's own log: digests only."""
        return self.path / "gateway.log"

    @property
    def worker_log(self) -> Path:
        """What the worker writes: never anything it opened."""
        return self.path / "worker.log"

    def key_file(self, name: str) -> Path:
        """Return where a private key lies."""
        return self.path / "keys" / f"{name}.pem"

    def relative(self, text: str) -> Path:
        """Return a path from the settings, which are relative to the folder."""
        return self.path / text

    def read(self, path: Path) -> bytes:
        """Return a file's bytes, or raise `FileUnusable`."""
        return read_file(path)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder: two gateways on one store would sign two histories.

        Raises:
            StoreFailed: another gateway serves from it.
        """
        with (self.path / "serving.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreFailed(f"another `lab serve` already serves from {self.path}", path=str(self.path)) from None
            yield

    def read_identity(self) -> Identity:
        """Return our own identity."""
        return parse_identity(self.read(self.identity))

    def read_private(self, name: str) -> bytes:
        """Return a private key that only its owner can read.

        Raises:
            FileUnusable: it cannot be read, or others can read it too.
        """
        path = self.key_file(name)
        data = self.read(path)
        if path.stat().st_mode & 0o077:
            raise FileUnusable(f"{shown(path)} can be read by others: run `chmod 600 {shown(path)}`", path=shown(path))
        return data

    def read_tls(self) -> bytes:
        """Return our TLS key.

        Raises:
            FileUnusable: it cannot be read, or others can read it too.
            ConfigurationInvalid: it is not the key of our certificate.
        """
        private = self.read_private("tls")
        check_tls_key(self.read_identity(), private, file=shown(self.key_file("tls")))
        return private

    def read_keys(self) -> LabKeys:
        """Return our signers.

        Raises:
            FileUnusable, KeyUnacceptable: a key cannot be read, or is not one.
            ConfigurationInvalid: a key is not the one of our identity file.
        """
        identity = self.read_identity()
        party = identity.party()

        def signer(use: KeyUse) -> Signer:
            found = signer_from_pem(self.read_private(use.value), party=party.id, use=use)
            if found.key.public != party.key(use).public:
                raise ConfigurationInvalid(
                    f"{self.key_file(use.value)} is not the key that {self.identity.name} names", field=use.value
                )
            return found

        return LabKeys(agreement=signer(KeyUse.AGREEMENT), record=signer(KeyUse.RECORD), log=signer(KeyUse.LOG))


def create_home(home: Home, *, party: str, now: datetime) -> Identity:
    """Make the folder with new keys, a TLS certificate, commented settings and the identity file.

    Raises:
        ConfigurationInvalid: the name is not one.
        FileUnusable: there is already something in the folder, or it cannot be written.
    """
    check_name(party)
    try:
        if home.path.exists() and any(home.path.iterdir()):
            raise FileUnusable(f"{shown(home.path)} is not empty; give another folder", path=shown(home.path))
    except OSError as error:
        raise unreadable(home.path, error) from None
    try:
        home.key_file("x").parent.mkdir(parents=True, mode=0o700)
        home.auditors.mkdir()
        keys = []
        for use in _USES:
            kind: type[P256Signer | Ed25519Signer] = Ed25519Signer if use is KeyUse.LOG else P256Signer
            signer = kind.generate(party=party, use=use)
            _write_private(home.key_file(use.value), signer.to_pem())
            keys.append(PartyKey.model_validate({"use": use.value, "public": encode(signer.key.public)}))
        private, pem = new_certificate(party, now=now)
        _write_private(home.key_file("tls"), private)
        identity = Identity(role="lab", id=party, keys=tuple(keys), tls=pem.decode())
        home.identity.write_bytes(identity.to_bytes())
        home.settings.write_text(TEMPLATE)
    except OSError as error:
        shutil.rmtree(home.path, ignore_errors=True)  # all of it is ours, and half a folder could not be completed
        raise unwritable(home.path, error) from None
    return identity


def admit(home: Home, source: Path) -> Identity:
    """Copy an auditor's identity file and add its table to the settings.

    Raises:
        ConfigurationInvalid: it is not an auditor's, has no TLS certificate, or is already admitted.
    """
    data = read_file(source, MAX_IDENTITY_BYTES)
    identity = parse_identity(data)
    if identity.role != "auditor" or identity.tls is None:
        raise ConfigurationInvalid(f"{source} is not the identity of an auditor", field="role")
    spki_pin(identity.tls)
    name = "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in identity.id)
    target = home.auditors / f"{name}.json"
    if target.exists():
        raise ConfigurationInvalid(f"{identity.id} is already admitted", field="identity")
    table = f'\n[[auditor]]\nidentity = "auditors/{name}.json"\n'.encode()
    settings = home.read(home.settings)
    write_file(target, [data])
    try:
        write_file(home.settings, [settings, table])
    except FileUnusable:
        target.unlink()  # an auditor is admitted with its table or not at all
        raise
    return identity


def spki_pin(pem: str | bytes) -> str:
    """Return the SHA-256 of a certificate's public key: what agreements pin.

    Raises:
        ConfigurationInvalid: it is not a certificate.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode() if isinstance(pem, str) else pem)
    except ValueError:
        raise ConfigurationInvalid("not a TLS certificate", field="tls") from None
    return sha256(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _write_private(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def new_certificate(party: str, *, now: datetime) -> tuple[bytes, bytes]:
    """Return a new private key and a self-signed certificate for it, both as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    host = "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in party)[:63]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    start = now.astimezone(UTC) - timedelta(days=1)  # an auditor's clock may be behind ours
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _CERTIFICATE_LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, certificate.public_bytes(Encoding.PEM)
