"""Whatever arrives as a message of a negotiation is taken, or refused with one of our reasons; never anything else."""

from __future__ import annotations

from hypothesis import given, settings, strategies as st

from attestations.documents.negotiation import Accept, Offer, Reject, Termination, Withdraw
from attestations.envelope import Envelope, parse_envelope, sign
from attestations.errors import ConfigurationInvalid, SafeconductError
from attestations.negotiation.editing import read_draft
from attestations.negotiation.messages import open_message
from tests.support.endpoints import NOW, Endpoint, agreed, body, sides
from tests.support.world_agreement import keys

KINDS = [kind.payload_type for kind in (Offer, Accept, Withdraw, Reject, Termination, type(body()))]
AUDITOR, LAB = agreed()
OFFER = Endpoint("auditor").offer(body())
VALID = [*OFFER, *(document for entry in AUDITOR.at().entries for document in entry.documents)]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A signed message with a few bytes changed, cut or repeated."""
    data = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(min_value=0, max_value=3))):
        place = draw(st.integers(min_value=0, max_value=len(data) - 1))
        data[place] = draw(st.integers(min_value=32, max_value=126))
    return bytes(data[: draw(st.integers(min_value=1, max_value=len(data)))] if draw(st.booleans()) else data)


@given(st.lists(damaged(), min_size=1, max_size=3))
@settings(deadline=None, max_examples=150)
def test_damaged_messages_are_refused_with_a_reason(wire: list[bytes]) -> None:
    try:
        Endpoint("lab").hear(wire)
    except SafeconductError:
        return


@given(st.sampled_from(KINDS), st.binary(max_size=200) | st.sampled_from([body().to_bytes()]))
@settings(deadline=None, max_examples=150)
def test_truly_signed_nonsense_is_refused_with_a_reason(kind: str, payload: bytes) -> None:
    envelope: Envelope = sign(kind, payload, keys().agreement)
    try:
        open_message("auditor", [parse_envelope(envelope.to_bytes())], sides())
    except SafeconductError:
        return
    raise AssertionError("nonsense was taken")


@given(
    st.text(max_size=300) | st.sampled_from(["[budget]\n", "[policy]\nrules = 5\n", '{"scope": []}', '{"access": 3}'])
)
@settings(deadline=None, max_examples=200)
def test_any_draft_is_read_or_refused_in_one_sentence(text: str) -> None:
    try:
        read_draft(text.encode(), body())
    except ConfigurationInvalid:
        return


def test_the_valid_ones_are_valid() -> None:
    Endpoint("lab").hear(OFFER, NOW)
