"""From the harness's requests to ours: scored continuations by context, and turns of a conversation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pydantic import ValidationError

from attestations.documents.dialogue import MAX_CONTINUATIONS, ChatRequest, Message, Sampling, ScoreRequest
from attestations.errors import ScopeExceeded

CHAT = "safeconduct-chat:"  # before what `apply_chat_template` returns: the turns, for the lab's own template
DEFAULT_MAX_TOKENS = 256  # the harness's own default
_KNOWN = {"until", "max_gen_toks", "max_tokens", "do_sample", "temperature", "top_p"}


@dataclass(frozen=True, repr=False)
class Scored:
    """Continuations of one context, in their order, and which of the harness's requests they answer."""

    request: ScoreRequest
    places: tuple[int, ...]


def as_turns(history: Sequence[Mapping[str, str]]) -> str:
    """Return a conversation as the text the harness carries around instead of it."""
    return CHAT + json.dumps([{"role": turn["role"], "content": turn["content"]} for turn in history])


def score_requests(pairs: Sequence[tuple[str, str]]) -> list[Scored]:
    """Return one request for each run of pairs (context, continuation) with the same context.

    White space at the end of a plain context belongs to the continuation, as the harness's own models have it.

    Raises:
        ScopeExceeded: a context is empty, or a text is longer than a request may hold.
    """
    found = []
    numbered = [(number, *_parted(context, text)) for number, (context, text) in enumerate(pairs)]
    for context, several in groupby(numbered, key=lambda item: item[1]):
        if not context:
            raise ScopeExceeded("nothing stands before the continuation for the model to go by", rule="score")
        rows = list(several)
        for start in range(0, len(rows), MAX_CONTINUATIONS):
            some = rows[start : start + MAX_CONTINUATIONS]
            request = _score(context, tuple(text for _, _, text in some))
            found.append(Scored(request, tuple(number for number, _, _ in some)))
    return found


def chat_request(context: str, options: Mapping[str, Any]) -> tuple[ChatRequest, Sampling]:
    """Return the request for one generation, and how it is drawn.

    Raises:
        ScopeExceeded: the context is plain text, or an option has no place in the protocol.
    """
    unknown = sorted(options.keys() - _KNOWN)
    if unknown:
        raise ScopeExceeded(f"the exchange does not carry the option {unknown[0]}", rule=unknown[0])
    if not context.startswith(CHAT):
        raise ScopeExceeded(
            "the exchange generates turns of a conversation: say --apply-chat-template", rule="apply_chat_template"
        )
    until = options.get("until") or ()
    stops = (until,) if isinstance(until, str) else tuple(until)
    try:
        request = ChatRequest(messages=_turns(context), stop=stops)
    except ValidationError as error:
        raise _too_large(error) from None
    try:
        return request, _sampling(options)
    except (TypeError, ValueError) as error:
        name = error.errors(include_input=False)[0]["loc"][0] if isinstance(error, ValidationError) else "gen_kwargs"
        raise ScopeExceeded("the exchange does not draw answers like that", rule=str(name)) from None


def _sampling(options: Mapping[str, Any]) -> Sampling:
    """Return how an answer is drawn, by the harness's rule: a temperature above 0 draws unless do_sample says no."""
    sampled, temperature = options.get("do_sample"), options.get("temperature")
    drawn = bool(float(temperature or 0)) if sampled is None else bool(sampled)
    top_p = float(options.get("top_p", 1.0))
    if not 0 < top_p <= 1 or float(temperature or 0) < 0:
        raise ValueError("a temperature is not negative, and top_p lies above 0 and at most at 1")
    return Sampling(
        max_output_tokens=int(options.get("max_gen_toks", options.get("max_tokens", DEFAULT_MAX_TOKENS))),
        temperature=_decimal(1.0 if temperature is None else temperature) if drawn else "0",
        top_p=_decimal(top_p),
    )


def _parted(context: str, continuation: str) -> tuple[str, str]:
    if context.startswith(CHAT):
        return context, continuation
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation


def _score(context: str, continuations: tuple[str, ...]) -> ScoreRequest:
    try:
        if context.startswith(CHAT):
            return ScoreRequest(messages=_turns(context), continuations=continuations)
        return ScoreRequest(prefix=context, continuations=continuations)
    except ValidationError as error:
        raise _too_large(error) from None


def _turns(context: str) -> tuple[Message, ...]:
    turns = json.loads(context.removeprefix(CHAT))
    return tuple(Message(role=turn["role"], content=turn["content"]) for turn in turns)


def _too_large(error: ValidationError) -> ScopeExceeded:
    field = ".".join(str(step) for step in error.errors(include_input=False, include_context=False)[0]["loc"])
    return ScopeExceeded(f"the call is no request of the protocol: {field}", rule="request")


def _decimal(number: float) -> str:
    text = f"{float(number):.6f}".rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text
