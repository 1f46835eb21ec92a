"""`verify --keyless` as people run it who mean harm: one clear line and a documented code, whatever the bytes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from attestations.errors import ExitCode
from tests.support.keyless_desk import AS_US, Desk, open_desk
from tests.support.keyless_files import WHO
from tests.support.private_sigstore import ISSUER
from tests.support.world import World
from tests.support.world_suite import make_tasks


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Files for every test here."""
    with open_desk(tmp_path_factory.mktemp("keyless")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("who", "code"),
    [
        (("--identity", "other@auditor.example", "--issuer", ISSUER), ExitCode.ROLE_OR_TRUST_MISSING),
        (("--identity", WHO, "--issuer", "https://other.example"), ExitCode.ROLE_OR_TRUST_MISSING),
        (("--identity", WHO), ExitCode.USAGE),
        (("--identity", WHO, "--issuer", ""), ExitCode.USAGE),
    ],
)
def test_another_publisher_is_refused_and_none_is_a_mistake(desk: Desk, who: tuple[str, ...], code: ExitCode) -> None:
    assert desk.verify_keyless("bundle.json", *who).returncode == code


@pytest.mark.parametrize("alone", [("--keyless", "bundle.json"), ("--trust-config", "config.json"), AS_US])
def test_an_option_alone_is_a_mistake(desk: Desk, alone: tuple[str, ...]) -> None:
    done = desk.verify(*alone)

    assert done.returncode == ExitCode.USAGE
    assert "--keyless" in done.stderr


@pytest.mark.parametrize("content", [b"", b"[" * 50_000])
def test_a_bundle_of_garbage_is_a_line_of_the_report(desk: Desk, content: bytes) -> None:
    (desk.folder / "garbage.json").write_bytes(content)

    done = desk.verify_keyless("garbage.json")

    assert done.returncode == ExitCode.MALFORMED
    assert "[MALFORMED_ENVELOPE]" in done.stdout.replace("\n", "")
    assert "the evidence holds, the identity-based signature beside it does not (exit code 10)" in done.stdout


def test_the_key_based_attestation_is_no_keyless_bundle(desk: Desk) -> None:
    world = World(tasks=make_tasks(20, size=24)).build()
    (desk.folder / "key.json").write_bytes(world.members("S1", "PUBLIC")["attestation.sigstore.json"])

    assert desk.verify_keyless("key.json").returncode == ExitCode.MALFORMED


@pytest.mark.parametrize("option", ["bundle", "config"])
def test_two_hundred_megabytes_are_not_read(desk: Desk, option: str) -> None:
    with (desk.folder / "huge.json").open("wb") as file:
        file.truncate(200 << 20)

    bundle, config = ("huge.json", "config.json") if option == "bundle" else ("bundle.json", "huge.json")
    done = desk.verify_keyless(bundle, config=config)

    assert done.returncode == (ExitCode.MALFORMED if option == "bundle" else ExitCode.SETUP)
    (desk.folder / "huge.json").unlink()


@pytest.mark.parametrize("content", [b"\xff", b'{"mediaType": "x"}'])
def test_a_trust_configuration_that_is_none_is_one_sentence(desk: Desk, content: bytes) -> None:
    (desk.folder / "bad.json").write_bytes(content)

    done = desk.verify_keyless("bundle.json", config="bad.json")

    assert done.returncode == ExitCode.SETUP
    assert "CONFIGURATION_INVALID" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["absent.json", "auditor"])
def test_a_file_that_cannot_be_read_is_one_sentence(desk: Desk, name: str) -> None:
    done = desk.verify_keyless(name)

    assert done.returncode == ExitCode.SETUP
    assert len(done.stderr.splitlines()) == 1
