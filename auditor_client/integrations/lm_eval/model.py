"""The lab's model as lm-evaluation-harness sees it: whole lists of requests, as many exchanges at once as lanes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from attestations.documents.dialogue import NOTHING_DRAWN, ChatResult, ScoreResult
from attestations.errors import BackendFailed, ScopeExceeded
from auditor_client.asked import Answered
from auditor_client.integrations.lm_eval.requests import as_turns, chat_request, score_requests
from auditor_client.intending import Question

AskAll = Callable[[Sequence[Question]], Sequence[Answered]]


class SafeconductLM(LM):  # type: ignore[misc]  # the harness has no types
    """A variant of the agreement in force.

    `ask_all` asks questions all at once and returns how each ended, in their order. `heard` gets every exchange with
    the harness's requests it answers. `unknown_greedy` counts scores whose backend did not say whether greedy
    decoding gives the continuation; they count as not greedy, and results say so.
    """

    def __init__(
        self, variant: str, ask_all: AskAll, heard: Callable[[Answered, Sequence[Instance]], None] = lambda *_: None
    ) -> None:
        super().__init__()
        self._variant = variant
        self._ask_all = ask_all
        self._heard = heard
        self.unknown_greedy = 0

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Return (sum of log-probabilities, whether greedy decoding gives it) for each (context, continuation)."""
        groups = score_requests([request.args for request in requests])
        ended = self._ask_all([Question(group.request, self._variant, NOTHING_DRAWN) for group in groups])
        found: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        for group, answered in zip(groups, ended, strict=True):
            result = _answer(answered, ScoreResult)
            self._heard(answered, [requests[place] for place in group.places])
            for place, score in zip(group.places, result.scores, strict=True):
                self.unknown_greedy += score.greedy is None
                found[place] = (float(score.logprob), bool(score.greedy))
        return found

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:  # noqa: ARG002 - the harness's signature
        """Refuse: a text's first token has nothing before it that a request could name."""
        raise ScopeExceeded(
            "the exchange scores continuations of a text, not a text from its beginning", rule="loglikelihood_rolling"
        )

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Return the generated turn for each (context, options)."""
        asked = [chat_request(*request.args) for request in requests]
        ended = self._ask_all([Question(request, self._variant, sampling) for request, sampling in asked])
        found = []
        for request, answered in zip(requests, ended, strict=True):
            found.append(_answer(answered, ChatResult).content)
            self._heard(answered, [request])
        return found

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:  # noqa: FBT001, FBT002 - the harness's signature
        """Return the turns as they are: the lab applies the template the agreement names."""
        if not add_generation_prompt:
            raise ScopeExceeded("the exchange does not continue a turn that was begun for the model", rule="prefill")
        return as_turns(chat_history)

    @property
    def tokenizer_name(self) -> str:
        """The harness keys its cache of contexts by this."""
        return f"safeconduct-{self._variant}"


def _answer(answered: Answered, kind: type[Any]) -> Any:
    if not isinstance(answered.answer, kind):
        record = answered.record
        raise BackendFailed(f"the exchange ended without an answer: {record.status}", code=record.code or "none")
    return answered.answer
