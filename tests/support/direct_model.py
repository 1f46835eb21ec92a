"""The embedded model without the exchange, as Inspect and lm-evaluation-harness would have it in their own process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from inspect_ai.model import ChatMessage, GenerateConfig, ModelAPI, ModelOutput, modelapi
from inspect_ai.tool import ToolChoice, ToolInfo
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from attestations.documents.dialogue import ChatRequest, ChatResult, Message, Sampling, ScoreRequest, ScoreResult
from lab_server.backends.llama import LlamaBackend, packaged_model
from lab_server.model_port import Finished, Request

SEED = 7  # at temperature 0 any seed draws the same


async def finished(backend: LlamaBackend, request: Request, sampling: Sampling) -> Any:
    """Return the result of one request."""
    steps = [step async for step in backend.answer(request, sampling, seed=SEED, deadline_seconds=60)]
    assert isinstance(steps[-1], Finished)
    return steps[-1].result


class DirectAPI(ModelAPI):
    """The packaged model in Inspect's own process; turns are mapped by hand, not by our provider."""

    backend: LlamaBackend | None = None

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002 - Inspect's name
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        self.backend = self.backend or await LlamaBackend.start(packaged_model())
        request = ChatRequest(messages=tuple(Message(role=item.role, content=item.text) for item in input))
        assert config.max_tokens is not None
        result = await finished(self.backend, request, Sampling(max_output_tokens=config.max_tokens))
        return ModelOutput.from_content("direct", result.content)

    def max_connections(self) -> int:
        return 1


@modelapi(name="direct")
def direct() -> type[ModelAPI]:
    return DirectAPI


class DirectLM(LM):  # type: ignore[misc] # the harness has no types
    """The packaged model in the harness's own process: every request by itself, in order."""

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        asked = [ScoreRequest(prefix=context, continuations=(text,)) for context, text in (r.args for r in requests)]
        results = self._all([(request, Sampling(max_output_tokens=1)) for request in asked])
        self.scores = [
            (float(r.scores[0].logprob), bool(r.scores[0].greedy)) for r in results if isinstance(r, ScoreResult)
        ]
        return self.scores

    def generate_until(self, requests: list[Instance]) -> list[str]:
        asked = []
        for context, options in (r.args for r in requests):
            request = ChatRequest(messages=(Message(role="user", content=context),), stop=tuple(options["until"]))
            asked.append((request, Sampling(max_output_tokens=int(options["max_gen_toks"]))))
        return [result.content for result in self._all(asked) if isinstance(result, ChatResult)]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        raise NotImplementedError

    def apply_chat_template(self, chat_history: list[dict[str, str]], **_: bool) -> str:
        [turn] = chat_history
        return turn["content"]

    @property
    def tokenizer_name(self) -> str:
        return "direct"

    @staticmethod
    def _all(asked: Sequence[tuple[Request, Sampling]]) -> list[Any]:
        async def go() -> list[Any]:
            backend = await LlamaBackend.start(packaged_model())
            try:
                return [await finished(backend, request, sampling) for request, sampling in asked]
            finally:
                await backend.close()

        return asyncio.run(go())
