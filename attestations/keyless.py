"""Identity-based ("keyless") signatures over an attestation, by `sigstore` under a given trust configuration.

Beside the evidence, never part of it: such a signature says who published an attestation and raises no level. The
edge of this package: signing talks to the services the configuration names, with a deadline; verifying opens no
connection. sigstore takes its own time and randomness. `docs/spec/keyless.md` is the normative page.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from cryptography import x509
from pydantic import ValidationError

from attestations.errors import (
    ConfigurationInvalid,
    IdentityTokenRefused,
    IdentityTokenUnusable,
    KeylessIdentityMismatch,
    KeylessSignatureInvalid,
    MalformedEnvelope,
    SafeconductError,
    SigningServiceFailed,
    SizeLimitExceeded,
)
from attestations.signing_attempt import AUTHORITY, LOG, TIMESTAMPS, Attempt, http_status, why
from attestations.statement import PAYLOAD_TYPE

if TYPE_CHECKING:
    from rfc3161_client import TimeStampResponse
    from sigstore.dsse import Statement
    from sigstore.models import Bundle
    from sigstore.oidc import IdentityToken
    from sigstore.sign import SigningContext

MAX_BUNDLE_BYTES = 4 << 20  # an attestation in base64, a certificate, a proof and a timestamp
MAX_CONFIG_BYTES = 1 << 20
MAX_TOKEN_BYTES = 16_384
_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_THIS_MACHINE = frozenset({"127.0.0.1", "::1", "localhost"})

# Without a handler of its own Python prints a library's warnings to the terminal; ours say it in one sentence.
logging.getLogger("sigstore").addHandler(logging.NullHandler())


class Publisher(NamedTuple):
    """Who signed: an identity, and the issuer that vouched for it."""

    identity: str
    issuer: str


class Published(NamedTuple):
    """A Sigstore bundle that verifies, and whose it is."""

    bundle: bytes
    by: Publisher


class Instance:
    """One Sigstore instance: the services to sign with and the keys to verify with."""

    def __init__(self, config: bytes) -> None:
        """Read a ClientTrustConfig.

        Raises:
            ConfigurationInvalid: it is not one, or `sigstore` is not installed.
        """
        try:
            from sigstore.models import ClientTrustConfig  # noqa: PLC0415 - an extra, and a slow import
            from sigstore.verify import Verifier  # noqa: PLC0415
        except ImportError as error:
            raise ConfigurationInvalid(
                f"identity-based signatures need {error.name}: pip install 'safeconduct[keyless]'"
            ) from None
        if len(config) > MAX_CONFIG_BYTES:
            raise ConfigurationInvalid("the trust configuration is larger than 1 MiB", field="trust-config")
        try:
            self._config = ClientTrustConfig.from_json(config.decode())
            self._root = self._config.trusted_root
            self._root.get_timestamp_authorities()  # read here, so that they are not found damaged later
            self._verifier = Verifier(trusted_root=self._root)
        except Exception as error:  # noqa: BLE001 - foreign bytes in a foreign parser
            raise ConfigurationInvalid(
                f"the trust configuration is not a usable ClientTrustConfig{_field(error)}", field="trust-config"
            ) from None

    def verify(self, bundle: bytes, publisher: Publisher) -> bytes:
        """Return the in-toto statement a bundle signs, as the bytes it is. Opens no connection.

        Raises:
            SizeLimitExceeded, MalformedEnvelope: it is not a bundle.
            KeylessIdentityMismatch: it is by somebody else.
            KeylessSignatureInvalid: certificate, timestamp, log entry or signature does not hold.
            ConfigurationInvalid: nobody is expected, or the configuration lacks a key.
        """
        from sigstore.errors import MetadataError  # noqa: PLC0415

        if not all(publisher):  # sigstore takes an empty issuer for any
            raise ConfigurationInvalid("an identity-based signature is checked against an identity and an issuer")
        parsed = _parse(bundle)
        try:
            kind, payload = self._verifier.verify_dsse(parsed, _Expected(publisher))
        except SafeconductError:
            raise
        except MetadataError:
            raise ConfigurationInvalid("the trust configuration lacks a key to verify with") from None
        except Exception:  # noqa: BLE001 - foreign bytes in a foreign parser
            raise KeylessSignatureInvalid(
                "the identity-based signature does not hold under this trust configuration"
            ) from None
        if kind != PAYLOAD_TYPE:
            raise MalformedEnvelope("an identity-based signature over something else than a statement")
        return payload

    def sign(self, payload: bytes, *, token: str, within: float) -> Published:
        """Sign exactly these bytes, with a key that lives for this call, and check the result as a reader does.

        Args:
            payload: an in-toto statement.
            token: an OIDC identity token; it goes to the certificate authority and nowhere else.
            within: seconds after which this gives up, whatever the services do.

        Raises:
            ConfigurationInvalid: the configuration names no service that may be used.
            IdentityTokenUnusable, IdentityTokenRefused: there is something wrong with the token.
            SigningServiceFailed: a service did not do its part; the message says whether the log may hold an entry.
        """
        identity = _identity(token)
        attempt = Attempt()
        context = self._context(attempt)
        published = attempt.within(within, lambda: _signed(payload, identity, context, attempt))
        try:
            same = self.verify(published.bundle, published.by) == payload
        except SafeconductError:
            same = False
        if not same:
            raise SigningServiceFailed(
                "the services gave a signature that does not verify under their own trust configuration; "
                "the log holds an entry for it"
            )
        return published

    def _context(self, attempt: Attempt) -> SigningContext:
        from sigstore.sign import SigningContext  # noqa: PLC0415

        try:
            services = self._config.signing_config
            authority, log, stamps = services.get_fulcio(), services.get_tlogs()[0], services.get_tsas()
        except Exception as error:  # noqa: BLE001 - foreign bytes in a foreign parser
            raise ConfigurationInvalid(
                f"the trust configuration names no services to sign with{_field(error)}", field="signingConfig"
            ) from None
        url = urlsplit(authority.url)
        if url.scheme != "https":
            if url.hostname not in _THIS_MACHINE:
                raise ConfigurationInvalid("an identity token is sent over https only", field="caUrls")
            authority.session.trust_env = False  # a proxy would be another machine
        if not stamps:
            raise ConfigurationInvalid("the trust configuration names no timestamp authority", field="tsaUrls")
        stamping = [_Stamping(stamp.request_timestamp, stamp.url, attempt) for stamp in stamps]
        return SigningContext(
            fulcio=authority,
            rekor=log,
            trusted_root=self._root,
            tsa_clients=stamping,  # type: ignore[arg-type]  # it is all that is used of a client
        )


class _Stamping:
    """A timestamp authority without whose answer nothing is logged.

    sigstore only warns when one fails, logs an entry, and then finds that it cannot make a bundle.
    """

    def __init__(self, request: Callable[[bytes], TimeStampResponse], url: str, attempt: Attempt) -> None:
        self.url = url
        self._request, self._attempt = request, attempt

    def request_timestamp(self, signature: bytes) -> TimeStampResponse:
        """Return the authority's timestamp."""
        self._attempt.move(TIMESTAMPS)
        try:
            stamp = self._request(signature)
        except Exception as error:  # noqa: BLE001 - every way a service can fail
            raise self._attempt.failed(why(error)) from None
        self._attempt.move(LOG)
        return stamp


class _Expected:
    """The policy of a reader: this identity, by this issuer."""

    def __init__(self, publisher: Publisher) -> None:
        from sigstore.verify.policy import Identity  # noqa: PLC0415

        self._policy = Identity(identity=publisher.identity, issuer=publisher.issuer)

    def verify(self, cert: x509.Certificate) -> None:
        """Refuse a certificate of anybody else; who that is stays unsaid, because the rest is not verified yet."""
        from sigstore.errors import VerificationError  # noqa: PLC0415

        try:
            self._policy.verify(cert)
        except VerificationError:
            raise KeylessIdentityMismatch(
                "the identity-based signature is by another identity or issuer than the one you expect"
            ) from None


def _parse(bundle: bytes) -> Bundle:
    from sigstore.models import Bundle  # noqa: PLC0415

    if len(bundle) > MAX_BUNDLE_BYTES:
        raise SizeLimitExceeded(f"a Sigstore bundle is at most {MAX_BUNDLE_BYTES} bytes", limit=str(MAX_BUNDLE_BYTES))
    try:
        return Bundle.from_json(bundle)
    except Exception:  # noqa: BLE001 - foreign bytes in a foreign parser
        raise MalformedEnvelope(
            "not an identity-based Sigstore bundle: one has a certificate, one proven log entry and a timestamp"
        ) from None


def _identity(token: str) -> IdentityToken:
    from sigstore.oidc import IdentityToken  # noqa: PLC0415

    try:
        return IdentityToken(token)
    except Exception:  # noqa: BLE001 - what is wrong with a token is never repeated
        raise IdentityTokenUnusable(
            "the identity token is not a JWT for the audience `sigstore` that is valid now"
        ) from None


def _signed(payload: bytes, identity: IdentityToken, context: SigningContext, attempt: Attempt) -> Published:
    try:
        with context.signer(identity) as signer:
            attempt.move(TIMESTAMPS)
            bundle = signer.sign_dsse(_exactly(payload))
        return Published(bundle.to_json().encode(), _publisher(bundle.signing_certificate))
    except SafeconductError:
        raise
    except Exception as error:  # noqa: BLE001 - every way a service can fail
        status = http_status(error)
        if attempt.at == AUTHORITY and status in {400, 401, 403}:
            raise IdentityTokenRefused(
                f"the certificate authority refused the identity token (HTTP {status}); nothing was logged"
            ) from None
        raise attempt.failed(why(error)) from None


def _exactly(payload: bytes) -> Statement:
    """Return a statement that is signed as the bytes it is.

    sigstore's constructor knows no digests but SHA-2 and SHA-3, and ours must not pass for those
    (`docs/spec/attestation.md`). `sign` checks that what came back is over exactly these bytes.
    """
    from sigstore.dsse import Statement  # noqa: PLC0415

    statement = Statement.__new__(Statement)
    statement._contents = payload  # noqa: SLF001 - its only state that is signed
    return statement


def _publisher(certificate: x509.Certificate) -> Publisher:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    identities = [
        *names.get_values_for_type(x509.RFC822Name),
        *names.get_values_for_type(x509.UniformResourceIdentifier),
    ]
    issuer = certificate.extensions.get_extension_for_oid(_ISSUER).value
    assert isinstance(issuer, x509.UnrecognizedExtension)  # noqa: S101 - nobody else defines this one
    return Publisher(identities[0], issuer.value.decode())


def _field(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return ""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f": {'.'.join(str(step) for step in first['loc']) or 'document'}: {first['msg']}"
