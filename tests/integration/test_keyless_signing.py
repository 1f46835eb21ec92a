"""Signing under an identity against a private instance on loopback: what is signed, refused, and given up in time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib import resources
from urllib.parse import quote

import pytest

from attestations.errors import (
    ConfigurationInvalid,
    ExitCode,
    IdentityTokenRefused,
    IdentityTokenUnusable,
    SafeconductError,
    SigningServiceFailed,
)
from attestations.keyless import Instance, Publisher
from tests.support.keyless_files import WHO, signed, statement
from tests.support.private_sigstore import ISSUER, Fault, PrivateSigstore, private_sigstore
from tests.support.private_sigstore_ca import Issuer

US = Publisher(WHO, ISSUER)
CA, TSA, TLOG = PrivateSigstore.CA, PrivateSigstore.TSA, PrivateSigstore.TLOG


@pytest.fixture
def sigstore() -> Iterator[PrivateSigstore]:
    """A new instance: its log is empty."""
    with private_sigstore() as instance:
        yield instance


def attempt(sigstore: PrivateSigstore, *, token: str | None = None, within: float = 20) -> SafeconductError:
    with pytest.raises(SafeconductError) as caught:
        Instance(sigstore.config()).sign(statement(), token=token or sigstore.token(), within=within)
    return caught.value


class TestRoundTrip:
    def test_exactly_the_bytes_that_were_signed_come_back(self, sigstore: PrivateSigstore) -> None:
        published = signed(sigstore, statement())

        assert statement() == Instance(sigstore.config()).verify(published.bundle, US)
        assert published.by == US
        assert sigstore.log.size == 1

    def test_the_instance_is_on_this_machine_only(self, sigstore: PrivateSigstore) -> None:
        assert sigstore.address.startswith("http://127.0.0.1:")

    def test_the_log_grows_and_every_earlier_signature_still_verifies(self, sigstore: PrivateSigstore) -> None:
        bundles = [signed(sigstore, statement(str(number))).bundle for number in range(5)]

        instance = Instance(sigstore.config())
        assert [statement(str(number)) for number in range(5)] == [instance.verify(item, US) for item in bundles]

    def test_an_identity_may_be_a_uri(self, sigstore: PrivateSigstore) -> None:
        published = signed(sigstore, statement(), identity="https://ci.example/audits/7")

        assert published.by == Publisher("https://ci.example/audits/7", ISSUER)

    def test_the_public_instances_own_configuration_is_one(self) -> None:
        """Read from the copy in the wheel; nothing is sent anywhere."""
        store = resources.files("sigstore._store") / quote("https://tuf-repo-cdn.sigstore.dev", safe="")
        value = {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": json.loads((store / "trusted_root.json").read_text()),
            "signingConfig": json.loads((store / "signing_config.v0.2.json").read_text()),
        }

        with pytest.raises(IdentityTokenUnusable):
            Instance(json.dumps(value).encode()).sign(b"{}", token="none", within=1)


class TestTokens:
    def test_a_token_of_a_forged_issuer_is_refused_and_nothing_is_logged(self, sigstore: PrivateSigstore) -> None:
        forged = Issuer(ISSUER).token(WHO)

        error = attempt(sigstore, token=forged)

        assert isinstance(error, IdentityTokenRefused)
        assert (error.exit_code, sigstore.log.size) == (ExitCode.REFUSED, 0)
        assert "HTTP 401" in error.message

    @pytest.mark.parametrize(
        "make",
        [
            lambda sigstore: sigstore.token(life=timedelta(seconds=-60)),
            lambda sigstore: sigstore.token(audience="somebody-else"),
            lambda sigstore: sigstore.token()[:-1] + "\n" + "x",
            lambda _: "a.b.c",
            lambda _: "x" * 20_000,
            lambda _: "\x00",
        ],
        ids=["expired", "other audience", "line feed", "no JWT", "long", "zero byte"],
    )
    def test_a_token_that_cannot_be_used_is_never_sent(
        self, sigstore: PrivateSigstore, make: Callable[[PrivateSigstore], str]
    ) -> None:
        token = make(sigstore)

        error = attempt(sigstore, token=token)

        assert isinstance(error, IdentityTokenUnusable)
        assert sigstore.asked == []
        assert token not in f"{error!r}{error.facts}"

    @pytest.mark.parametrize("service", [CA, TSA, TLOG])
    @pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.BREAK, Fault.GARBAGE])
    def test_no_failure_repeats_a_token(self, sigstore: PrivateSigstore, service: str, fault: Fault) -> None:
        sigstore.faults[service] = fault
        token = sigstore.token()

        error = attempt(sigstore, token=token)

        chain = f"{error!r} {error.facts} {error.__cause__!r}"
        assert not any(part in chain for part in token.split("."))

    def test_a_token_goes_to_another_machine_over_https_only(self, sigstore: PrivateSigstore) -> None:
        value = sigstore.trust_config()
        value["signingConfig"]["caUrls"][0]["url"] = "http://ca.example"

        with pytest.raises(ConfigurationInvalid, match="https only"):
            Instance(json.dumps(value).encode()).sign(statement(), token=sigstore.token(), within=5)

    def test_a_token_in_the_clear_passes_no_proxy(
        self, sigstore: PrivateSigstore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

        error = attempt(sigstore)

        assert sigstore.asked == [CA]
        assert "timestamp authority cannot be reached" in error.message


class TestFailingServices:
    @pytest.mark.parametrize(
        ("service", "fault", "expected", "says"),
        [
            (CA, Fault.REFUSE, IdentityTokenRefused, "HTTP 400"),
            (CA, Fault.BREAK, SigningServiceFailed, "certificate authority answered HTTP 500; nothing was logged"),
            (CA, Fault.GARBAGE, SigningServiceFailed, "authority gave an answer that cannot be used; nothing was"),
            (TSA, Fault.REFUSE, SigningServiceFailed, "timestamp authority answered HTTP 400; nothing was logged"),
            (TSA, Fault.GARBAGE, SigningServiceFailed, "authority gave an answer that cannot be used; nothing was"),
            (TLOG, Fault.REFUSE, SigningServiceFailed, "log answered HTTP 400; the log may hold an entry"),
            (TLOG, Fault.BREAK, SigningServiceFailed, "log answered HTTP 500; the log may hold an entry"),
            (TLOG, Fault.GARBAGE, SigningServiceFailed, "cannot be used; the log may hold an entry"),
        ],
    )
    def test_a_failure_says_whose_it_is_and_what_is_logged(
        self, sigstore: PrivateSigstore, service: str, fault: Fault, expected: type[SafeconductError], says: str
    ) -> None:
        sigstore.faults[service] = fault

        error = attempt(sigstore)

        assert type(error) is expected
        assert says in error.message
        assert sigstore.log.size == 0

    @pytest.mark.parametrize(("service", "logged"), [(CA, 0), (TSA, 0), (TLOG, 1)])
    def test_a_service_that_stalls_is_given_up_in_time(
        self, sigstore: PrivateSigstore, service: str, logged: int
    ) -> None:
        sigstore.faults[service] = Fault.STALL
        begun = time.monotonic()

        error = attempt(sigstore, within=1)

        assert time.monotonic() - begun < 4
        assert isinstance(error, SigningServiceFailed)
        assert error.exit_code == ExitCode.UNREACHABLE
        assert "did not answer within 1 seconds" in error.message
        assert ("may hold an entry" in error.message) == bool(logged)
        assert logged == sigstore.log.size

    @pytest.mark.parametrize("service", [CA, TSA])
    def test_what_was_given_up_is_never_logged_later(self, sigstore: PrivateSigstore, service: str) -> None:
        sigstore.faults[service] = Fault.STALL
        attempt(sigstore, within=0.5)

        sigstore.released.set()
        time.sleep(0.5)

        assert sigstore.log.size == 0
        assert TLOG not in sigstore.asked

    def test_an_instance_that_is_not_there_is_said(self, sigstore: PrivateSigstore) -> None:
        config = json.dumps(sigstore.trust_config()).replace(sigstore.address, "http://127.0.0.1:1").encode()

        with pytest.raises(SigningServiceFailed, match="certificate authority cannot be reached; nothing was logged"):
            Instance(config).sign(statement(), token=sigstore.token(), within=20)

    def test_services_whose_keys_are_not_the_configured_ones_are_found_out(self, sigstore: PrivateSigstore) -> None:
        value = sigstore.trust_config()
        with private_sigstore() as other:
            foreign = other.trust_config()["trustedRoot"]["timestampAuthorities"]
        value["trustedRoot"]["timestampAuthorities"] = foreign

        with pytest.raises(SigningServiceFailed, match=r"does not verify .* the log holds an entry"):
            Instance(json.dumps(value).encode()).sign(statement(), token=sigstore.token(), within=20)

    @pytest.mark.parametrize("name", ["tsaUrls", "rekorTlogUrls", "caUrls"])
    def test_a_configuration_without_a_service_is_found_before_anything_is_sent(
        self, sigstore: PrivateSigstore, name: str
    ) -> None:
        value = sigstore.trust_config()
        value["signingConfig"][name] = []

        with pytest.raises(ConfigurationInvalid):
            Instance(json.dumps(value).encode()).sign(statement(), token=sigstore.token(), within=5)
        assert sigstore.asked == []
