"""The embedded model without the exchange, as Inspect and lm-evaluation-harness would have it in their own process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from itertools import groupby
from operator import itemgetter
from typing import Any, Self, TypeVar

from inspect_ai.model import ChatMessage, GenerateConfig, ModelAPI, ModelOutput, modelapi
from inspect_ai.tool import ToolChoice, ToolInfo
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from attestations.documents.dialogue import ChatRequest, Message, Sampling, ScoreRequest
from lab_server.backends.llama import LlamaBackend, packaged_model
from lab_server.model_port import Finished, Request

T = TypeVar("T")
SEED = 7  # at temperature 0 any seed draws the same


class Engine:
    """The packaged model, in a loop of its own in a thread of this process; use as `with`."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._backend = self._do(LlamaBackend.start(packaged_model()))
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._backend.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def result(self, request: Request, sampling: Sampling) -> Any:
        """Return the result of one request."""
        return self._do(self._asked(request, sampling))

    async def _asked(self, request: Request, sampling: Sampling) -> Any:
        answer = self._backend.answer(request, sampling, seed=SEED, deadline_seconds=60)
        steps = [step async for step in answer]
        assert isinstance(steps[-1], Finished)
        return steps[-1].result

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class DirectAPI(ModelAPI):
    """The packaged model in Inspect's own process; turns are mapped by hand, not by our provider."""

    def __init__(self, model_name: str, engine: Engine, **_: Any) -> None:
        super().__init__(model_name)
        self._engine = engine

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002 - Inspect's name
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        request = ChatRequest(messages=tuple(Message(role=item.role, content=item.text) for item in input))
        assert config.max_tokens is not None
        sampling = Sampling(max_output_tokens=config.max_tokens)
        result = await asyncio.to_thread(self._engine.result, request, sampling)
        return ModelOutput.from_content("direct", result.content)

    def max_connections(self) -> int:
        return 1


@modelapi(name="direct")
def direct() -> type[ModelAPI]:
    return DirectAPI


class DirectLM(LM):  # type: ignore[misc] # the harness has no types
    """The packaged model in the harness's own process: one context after the other."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine
        self.scored: dict[tuple[str, str], float] = {}  # by context and continuation
        self.turns: set[str] = set()  # that were continued

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        found: list[tuple[float, bool]] = []
        for context, group in groupby((request.args for request in requests), key=itemgetter(0)):
            # One reading of the context for all, in the other order than the exchange's: neither changes a score.
            texts = [text for _, text in group]
            request = ScoreRequest(prefix=context, continuations=tuple(reversed(texts)))
            scores = reversed(self._engine.result(request, Sampling(max_output_tokens=1)).scores)
            for text, score in zip(texts, scores, strict=True):
                found.append((float(score.logprob), bool(score.greedy)))
                self.scored[context, text] = float(score.logprob)
        return found

    def generate_until(self, requests: list[Instance]) -> list[str]:
        found = []
        for context, options in (request.args for request in requests):
            self.turns.add(context)
            request = ChatRequest(messages=(Message(role="user", content=context),), stop=tuple(options["until"]))
            sampling = Sampling(max_output_tokens=int(options["max_gen_toks"]))
            found.append(self._engine.result(request, sampling).content)
        return found

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        raise NotImplementedError

    def apply_chat_template(self, chat_history: list[dict[str, str]], **_: bool) -> str:
        [turn] = chat_history
        return turn["content"]

    @property
    def tokenizer_name(self) -> str:
        return "direct"
