"""An auditor's and a reader's files beside a private Sigstore, and the commands both run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from attestations.errors import ExitCode
from tests.support import forking
from tests.support.keyless_files import WHO
from tests.support.private_sigstore import ISSUER, PrivateSigstore, private_sigstore
from tests.support.world import World
from tests.support.world_home import write_home
from tests.support.world_suite import make_tasks

ROOT = Path(__file__).resolve().parents[2]
# Every way to a network is gone; the class stays one, because `ssl` derives another from it.
OFFLINE = """
import socket, sys
def refuse(*_, **__):
    raise RuntimeError("the verifier opened a socket")
socket.socket.__init__ = socket.getaddrinfo = socket.create_connection = refuse
from attestations.cli import main
main(sys.argv[1:])
"""
WITHOUT_SIGSTORE = """
import sys
sys.modules["sigstore"] = None
from attestations.cli import main
main(sys.argv[1:])
"""
AS_US = ("--identity", WHO, "--issuer", ISSUER)


class Desk(NamedTuple):
    """An auditor's and a reader's files beside a private instance."""

    folder: Path
    sigstore: PrivateSigstore

    def run(
        self, *arguments: str, program: str | None = None, token: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; whatever happens, it prints no traceback and repeats no token."""
        environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}", "COLUMNS": "120", "PATH": os.environ["PATH"]}
        environment |= {} if token is None else {"SAFECONDUCT_IDENTITY_TOKEN": token}
        if program is None:
            done = forking.run(arguments, cwd=self.folder, env=environment)
        else:
            done = subprocess.run(
                [sys.executable, "-c", program, *arguments],
                cwd=self.folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        said = done.stdout + done.stderr
        assert "Traceback" not in said
        assert not any(part in said for part in (token or "").split(".") if part)
        return done

    def publish(
        self, name: str, *options: str, token: str | None = None, program: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `auditor publish` with a good token, unless another is given."""
        return self.run(
            *("auditor", "publish", name, "--home", "auditor", "--trust-config", "config.json", *options),
            token=self.sigstore.token(WHO) if token is None else token,
            program=program,
        )

    def verify(self, *options: str, program: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run `verify` on the public file of S1."""
        return self.run("verify", "public-S1.zip", "--trust", "trust.json", *options, program=program)

    def verify_keyless(
        self, bundle: str, *who: str, config: str = "config.json", program: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `verify --keyless`."""
        return self.verify("--keyless", bundle, "--trust-config", config, *(who or AS_US), program=program)


@contextmanager
def open_desk(folder: Path) -> Iterator[Desk]:
    """Make evidence for the public and for the regulator, and one bundle over the former."""
    world = World(tasks=make_tasks(20, size=24)).build()
    (folder / "public-S1.zip").write_bytes(world.evidence("S1", "PUBLIC"))
    (folder / "regulator-S2.zip").write_bytes(world.evidence("S2"))
    write_home(folder / "auditor")
    with private_sigstore() as sigstore:
        (folder / "config.json").write_bytes(sigstore.config())
        here = Desk(folder, sigstore)
        trusted = here.run("trust", "auditor/identity.json", "auditor/lab-identity.json", "--out", "trust.json")
        assert trusted.returncode == ExitCode.OK, trusted.stderr
        (folder / "token").write_text(sigstore.token(WHO) + "\n")
        done = here.publish("public-S1.zip", "--identity-token-file", "token", "--out", "bundle.json", token="")
        assert done.returncode == ExitCode.OK, done.stderr
        yield here
