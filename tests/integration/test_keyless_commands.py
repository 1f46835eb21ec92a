"""`auditor publish` and `verify --keyless` as people run them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from attestations.errors import ExitCode
from tests.support.keyless_desk import AS_US, OFFLINE, WITHOUT_SIGSTORE, Desk, open_desk
from tests.support.keyless_files import WHO
from tests.support.private_sigstore import ISSUER, Fault, PrivateSigstore


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Files for every test here."""
    with open_desk(tmp_path_factory.mktemp("keyless")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _in_order(desk: Desk) -> Iterator[None]:
    yield
    desk.sigstore.faults.clear()


class TestRoundTrip:
    def test_a_reader_sees_who_published_and_that_it_raises_nothing(self, desk: Desk) -> None:
        done = desk.verify_keyless("bundle.json")

        assert done.returncode == ExitCode.OK, done.stdout + done.stderr
        shown = " ".join(done.stdout.split())
        assert "Public identity, beside the evidence" in shown
        assert f"18 published under an identity {WHO} ({ISSUER}) signed this attestation" in shown
        assert "not that what it says is so" in shown

    def test_it_changes_no_other_line(self, desk: Desk) -> None:
        plain = json.loads(desk.verify("--json").stdout)
        published = json.loads(desk.verify_keyless("bundle.json", *AS_US, "--json").stdout)

        assert [item["step"] for item in published["checks"] if item not in plain["checks"]] == [18]
        assert plain["derivedAssurance"] == published["derivedAssurance"]
        assert plain["exitCode"] == published["exitCode"] == 0

    def test_a_reader_needs_no_network(self, desk: Desk) -> None:
        online = desk.verify_keyless("bundle.json", *AS_US, "--json")
        offline = desk.verify_keyless("bundle.json", *AS_US, "--json", program=OFFLINE)

        assert offline.returncode == ExitCode.OK, offline.stderr
        assert online.stdout == offline.stdout

    def test_the_program_of_that_test_refuses_sockets(self, desk: Desk) -> None:
        done = desk.publish("public-S1.zip", "--out", "never.json", program=OFFLINE)

        assert done.returncode == ExitCode.UNREACHABLE

    def test_the_token_may_come_from_the_environment(self, desk: Desk) -> None:
        done = desk.publish("public-S1.zip")

        assert done.returncode == ExitCode.OK, done.stderr
        assert f"signed as {WHO}" in done.stdout
        assert "for ever" in done.stdout
        assert desk.verify_keyless("public-S1.keyless.sigstore.json").returncode == ExitCode.OK


class TestPublishing:
    def test_what_is_not_for_the_public_has_to_be_meant(self, desk: Desk) -> None:
        before = desk.sigstore.log.size

        refused = desk.publish("regulator-S2.zip", "--out", "regulator.json")

        assert refused.returncode == ExitCode.DISCLOSURE_BREACH
        assert "--recipient REGULATOR" in refused.stderr
        assert before == desk.sigstore.log.size
        meant = desk.publish("regulator-S2.zip", "--out", "regulator.json", "--recipient", "REGULATOR")
        assert meant.returncode == ExitCode.OK, meant.stderr
        assert desk.verify_keyless("regulator.json").returncode == ExitCode.COMMITMENT_MISMATCH

    def test_what_does_not_verify_is_not_signed(self, desk: Desk) -> None:
        data = bytearray((desk.folder / "public-S1.zip").read_bytes())
        data[len(data) // 2] ^= 1
        (desk.folder / "flipped.zip").write_bytes(bytes(data))
        before = len(desk.sigstore.asked)

        done = desk.publish("flipped.zip")

        assert done.returncode == ExitCode.COMMITMENT_MISMATCH
        assert before == len(desk.sigstore.asked)

    def test_what_is_not_ours_is_not_signed(self, desk: Desk) -> None:
        made = desk.run("auditor", "init", "--id", "auditor.example", "--home", "stranger")
        assert made.returncode == ExitCode.OK
        (desk.folder / "stranger/lab-identity.json").write_bytes(
            (desk.folder / "auditor/lab-identity.json").read_bytes()
        )

        done = desk.publish("public-S1.zip", "--home", "stranger", "--out", "never.json")

        assert done.returncode == ExitCode.COMMITMENT_MISMATCH
        assert not (desk.folder / "never.json").exists()

    def test_a_bundle_that_is_there_is_not_made_again(self, desk: Desk) -> None:
        before = desk.sigstore.log.size

        done = desk.publish("public-S1.zip", "--out", "bundle.json")

        assert done.returncode == ExitCode.SETUP
        assert "already exists" in done.stderr
        assert before == desk.sigstore.log.size

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ((), "there is no identity token"),
            (("--identity-token-file", "absent"), "absent cannot be read"),
            (("--identity-token-file", "/dev/zero"), "/dev/zero cannot be read: it is no regular file"),
        ],
    )
    def test_a_token_that_is_none_is_one_sentence(self, desk: Desk, options: tuple[str, ...], says: str) -> None:
        done = desk.publish("public-S1.zip", "--out", "never.json", *options, token="")

        assert done.returncode == ExitCode.SETUP
        assert says in done.stderr
        assert len(done.stderr.splitlines()) == 1

    @pytest.mark.parametrize(
        ("service", "fault", "code", "says"),
        [
            (PrivateSigstore.CA, Fault.REFUSE, ExitCode.REFUSED, "nothing was logged"),
            (PrivateSigstore.TSA, Fault.BREAK, ExitCode.UNREACHABLE, "nothing was logged"),
            (PrivateSigstore.TLOG, Fault.STALL, ExitCode.UNREACHABLE, "the log may hold an entry"),
        ],
    )
    def test_a_service_that_fails_or_stalls_is_one_sentence_in_time(
        self, desk: Desk, service: str, fault: Fault, code: ExitCode, says: str
    ) -> None:
        desk.sigstore.faults[service] = fault

        done = desk.publish("public-S1.zip", "--out", "never.json", "--deadline", "1")

        assert done.returncode == code
        assert says in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert list(desk.folder.glob("never.json*")) == []


class TestWithoutSigstore:
    def test_a_reader_is_told_what_to_install(self, desk: Desk) -> None:
        done = desk.verify_keyless("bundle.json", program=WITHOUT_SIGSTORE)

        assert done.returncode == ExitCode.SETUP
        assert "pip install 'safeconduct[keyless]'" in done.stderr
        assert desk.verify(program=WITHOUT_SIGSTORE).returncode == ExitCode.OK

    def test_an_auditor_is_told_what_to_install(self, desk: Desk) -> None:
        done = desk.publish("public-S1.zip", "--out", "never.json", program=WITHOUT_SIGSTORE)

        assert done.returncode == ExitCode.SETUP
        assert "pip install 'safeconduct[keyless]'" in done.stderr
