"""Builds an Intent: everything about a request is fixed and sealed before the lab hears of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from attestations.digests import sha256
from attestations.documents.asking import AnyRequest, request_commitment, sealed_bytes
from attestations.documents.base import format_time
from attestations.documents.dialogue import ChatRequest, CountRequest, Sampling, ScoreRequest
from attestations.documents.exchange import Intent, TokenBudget, seed_commitment
from attestations.documents.finetuning import FineTuneRequest, StartTraining
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import ScopeExceeded
from attestations.sealing import request_info, seal_request
from auditor_client.campaign_state import Item, Pending
from auditor_client.engagement import Engagement, signed
from auditor_client.runtime_evidence import Runtime

_TEMPLATE_TOKENS = 256  # chat templates add roles, markers and at most a default system prompt
_MAX_TOKENS = 16_777_216

Randomness = Callable[[int], bytes]


@dataclass(frozen=True, repr=False)
class Prepared:
    """An Intent ready to be sent: its durable form, its envelope and its fields."""

    pending: Pending
    envelope: Envelope
    intent: Intent


@dataclass(frozen=True, repr=False)
class Question:
    """What an item asks: the request, the variant and how to draw the answer."""

    request: AnyRequest
    variant: str
    sampling: Sampling


def intend(
    question: Question,
    item: Item,
    *,
    engagement: Engagement,
    runtime: Runtime,
    link_key: bytes,
    session: str,
    seq: int,
    prev: str,
    now: datetime,
    randomness: Randomness,
) -> Prepared:
    """Return a signed Intent with all that opens it.

    Args:
        question: what the item asks.
        item: the item, whose attempt and step make the handle.
        engagement: the agreement and our signers.
        runtime: what the request is sealed to.
        session: the session's name.
        seq: the place in the session.
        now: the present instant.
        link_key: the 32 bytes under which handles are made (`ClassKey.link_key` of class C5).
        prev: digest of what this Intent follows in its session.
        randomness: gives that many random bytes.

    Raises:
        ScopeExceeded: the agreement does not name the variant.
    """
    agreement = engagement.agreement
    variant = engagement.variant(question.variant)
    if variant is None:
        raise ScopeExceeded("the agreement does not name this variant", rule="variant", variant=question.variant)
    response_key, salt, seed_share = randomness(32), randomness(32), randomness(32)
    plain = question.request.to_bytes()
    info = request_info(
        agreement=engagement.digest, session=session, seq=seq, variant=variant.id, evidence=runtime.digest
    )
    sealed = seal_request(runtime.hpke_public, info, sealed_bytes(plain, response_key=response_key, salt=salt))
    request = question.request
    intent = Intent(
        agreement=engagement.digest,
        session=session,
        seq=seq,
        prev=prev,
        sealed_digest=sha256(sealed),
        sealed_bytes=len(sealed),
        plaintext_commit=request_commitment(plain, salt),
        handle=item.handle(link_key),
        variant=variant.id,
        template=variant.template,
        operation=request.operation,
        tools=isinstance(request, ChatRequest) and bool(request.tools),
        sampling=question.sampling,
        seed_commit=seed_commitment(seed_share),
        worker_key=runtime.worker_key_digest,
        evidence=runtime.digest,
        budget_max=most_tokens(question),
        not_after=format_time(now + timedelta(seconds=agreement.timing.reveal_seconds)),
    )
    envelope = signed(intent, engagement.keys.exchange)
    pending = Pending(
        session=session,
        seq=seq,
        item=item,
        intended_at=now,
        intent=envelope.to_bytes(),
        request=plain,
        sealed=sealed,
        seed_share=seed_share,
        response_key=response_key,
        request_salt=salt,
    )
    return Prepared(pending, envelope, intent)


def restored(pending: Pending) -> Prepared:
    """Return an Intent as the journal kept it: the very bytes that may have been sent already."""
    envelope = parse_envelope(pending.intent)
    return Prepared(pending, envelope, Intent.parse(envelope.payload))


def most_tokens(question: Question) -> TokenBudget:
    """Return an upper bound of what a request can use: no tokenizer in use makes more tokens than bytes."""
    request = question.request
    if isinstance(request, FineTuneRequest):
        return TokenBudget(input_tokens=_most_trained(request), output_tokens=0)
    if not isinstance(request, ChatRequest | ScoreRequest | CountRequest):
        return TokenBudget(input_tokens=0, output_tokens=0)
    written = question.sampling.max_output_tokens if isinstance(request, ChatRequest) else 0
    if isinstance(request, CountRequest):
        read = len(request.text.encode())
    elif isinstance(request, ScoreRequest):
        start = _bytes_of(request) + _TEMPLATE_TOKENS
        read = sum(start + len(text.encode()) for text in request.continuations)
    else:
        read = _bytes_of(request) + _TEMPLATE_TOKENS
    return TokenBudget(input_tokens=min(read, _MAX_TOKENS), output_tokens=min(written, _MAX_TOKENS))


def _most_trained(request: FineTuneRequest) -> int:
    action = request.action
    if not isinstance(action, StartTraining):
        return 0
    most = action.recipe.max_tokens
    longest = (len(item.model_dump_json().encode()) + _TEMPLATE_TOKENS for item in action.demonstrations)
    return min(_MAX_TOKENS, action.recipe.epochs * sum(min(size, most) for size in longest))


def _bytes_of(request: ChatRequest | ScoreRequest) -> int:
    turns = sum(len(turn.model_dump_json().encode()) for turn in request.messages)
    if isinstance(request, ScoreRequest):
        return turns + len((request.prefix or "").encode())
    return turns + sum(len(tool.model_dump_json().encode()) for tool in request.tools)
