"""The auditor's folder: settings, keys, the committed suite, the journal, the log's copy and evidence files."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BufferedWriter
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from attestations.commitments import SuiteKey
from attestations.documents.agreement import PartyKey
from attestations.documents.base import encode
from attestations.errors import ConfigurationInvalid, FileUnusable, StoreFailed
from attestations.files import read_file, shown, unreadable, unwritable
from attestations.identity import Identity, check_name, check_tls_key, parse_identity
from attestations.keys import Ed25519Signer, KeyUse, P256Signer, Signer, signer_from_pem
from auditor_client.engagement import AuditorKeys
from auditor_client.settings import TEMPLATE

_USES = (KeyUse.AGREEMENT, KeyUse.EXCHANGE, KeyUse.PUBLICATION, KeyUse.COSIGN)
_CERTIFICATE_LIFE = timedelta(days=3650)  # pinned by key in the agreement: expiry adds nothing
_KEY_BYTES = 32


@dataclass(frozen=True)
class Home:
    """Where everything of one auditor lies."""

    path: Path

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.path / "auditor.toml"

    @property
    def identity(self) -> Path:
        """The public keys, to be handed to labs and readers."""
        return self.path / "identity.json"

    @property
    def journal(self) -> Path:
        """The campaign's journal."""
        return self.path / "journal.sqlite"

    @property
    def mirror(self) -> Path:
        """The copy of the lab's log."""
        return self.path / "log.jsonl"

    @property
    def suite(self) -> Path:
        """The author's suite."""
        return self.path / "suite"

    @property
    def committed(self) -> Path:
        """The suite as it was committed."""
        return self.path / "committed" / "suite.jsonl"

    @property
    def plan(self) -> Path:
        """The analysis plan as it was committed."""
        return self.path / "committed" / "plan.json"

    @property
    def rounds(self) -> Path:
        """Epochs and attempts as they were committed."""
        return self.path / "committed" / "rounds.json"

    @property
    def judge(self) -> Path:
        """The judge as it was calibrated; committed with the plan."""
        return self.path / "judge.json"

    @property
    def packages(self) -> Path:
        """The sealed packages."""
        return self.path / "packages"

    @property
    def escrow(self) -> Path:
        """The files of shares to hand to holders."""
        return self.path / "escrow"

    @property
    def evidence(self) -> Path:
        """The evidence files."""
        return self.path / "evidence"

    @property
    def log(self) -> Path:
        """The program's own log: digests only."""
        return self.path / "auditor.log"

    def key_file(self, use: str) -> Path:
        """Return where a private key lies."""
        return self.path / "keys" / f"{use}.pem"

    def read(self, path: Path) -> bytes:
        """Return a file's bytes, or raise `FileUnusable`."""
        return read_file(path)

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

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder: two commands that work in it at once would spoil the journal and the log's copy.

        Raises:
            StoreFailed: another command works in it.
        """
        with (self.path / "working.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreFailed(
                    f"another command works in {shown(self.path)}: wait until it has ended", path=shown(self.path)
                ) from None
            yield

    def read_keys(self) -> AuditorKeys:
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
                    f"{shown(self.key_file(use.value))} is not the key that {self.identity.name} names", field=use.value
                )
            return found

        return AuditorKeys(
            agreement=signer(KeyUse.AGREEMENT),
            exchange=signer(KeyUse.EXCHANGE),
            cosign=signer(KeyUse.COSIGN),
            publication=signer(KeyUse.PUBLICATION),
        )

    def read_suite_key(self, suite_id: str) -> SuiteKey:
        """Return the key all commitments and sealed packages of a suite hang from."""
        secret = self.read_private("suite").strip()
        try:
            raw = bytes.fromhex(secret.decode())
        except (ValueError, UnicodeDecodeError):
            raw = b""
        if len(raw) != _KEY_BYTES:
            raise FileUnusable("the suite key is damaged: restore keys/suite.pem", path=str(self.key_file("suite")))
        return SuiteKey(raw, suite_id)


def create_home(home: Home, *, party: str, now: datetime) -> Identity:
    """Make the folder with new keys, a TLS certificate, settings and the identity file.

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
        keys = []
        for use in _USES:
            kind: type[P256Signer | Ed25519Signer] = Ed25519Signer if use is KeyUse.COSIGN else P256Signer
            signer = kind.generate(party=party, use=use)
            write_private(home.key_file(use.value), signer.to_pem())
            keys.append(PartyKey(use=use.value, public=encode(signer.key.public)))  # type: ignore[arg-type]
        write_private(home.key_file("suite"), secrets.token_hex(_KEY_BYTES).encode() + b"\n")
        private, certificate = _certificate(party, now)
        write_private(home.key_file("tls"), private)
        identity = Identity(role="auditor", id=party, keys=tuple(keys), tls=certificate.decode())
        home.identity.write_bytes(identity.to_bytes())
        home.settings.write_text(TEMPLATE)
    except OSError as error:
        shutil.rmtree(home.path, ignore_errors=True)  # all of it is ours, and half a folder could not be completed
        raise unwritable(home.path, error) from None
    return identity


def write_private(path: Path, data: bytes) -> None:
    """Write a new file that only its owner can read."""
    with new_private(path) as file:
        file.write(data)


@contextmanager
def new_private(path: Path) -> Iterator[BufferedWriter]:
    """Open a new file that only its owner can read; what was written is on the disk when the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _certificate(party: str, now: datetime) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    host = "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in party)[:63]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    start = now.astimezone(UTC) - timedelta(days=1)  # a lab's clock may be behind ours
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
