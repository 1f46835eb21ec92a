"""A model in PyTorch, in the worker's own process: for small models, and for adapters over safetensors.

Every step of every answer runs on one thread of its own, so answers under way take turns token by token and the
event loop never waits. For a model of any size llama.cpp is the faster engine.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from attestations.digests import sha256
from attestations.documents.dialogue import (
    ChatRequest,
    ChatResult,
    CountRequest,
    GeneratedToken,
    Message,
    Sampling,
    ScoreRequest,
    TokenLogprob,
)
from attestations.documents.exchange import Usage
from attestations.errors import ConfigurationInvalid, FileUnusable
from lab_server.backends.answering import Answering, counted
from lab_server.backends.numbers import decimal, logprob_of
from lab_server.backends.scoring import TokenScores, score
from lab_server.model_port import (
    BackendIdentity,
    Capabilities,
    Delta,
    Finished,
    FinishReason,
    Request,
    backend_failed,
)
from lab_server.weights import build_manifest

TOP_LOGPROBS = 20
T = TypeVar("T")


class TorchBackend(Answering):
    """A model in this process (a `ModelBackend`); make one with `TorchBackend.start`."""

    def __init__(self, loaded: Any, thread: ThreadPoolExecutor, *, name: str, identity: BackendIdentity) -> None:
        self._loaded = loaded
        self._thread = thread
        self._name = name
        self._identity = identity
        self._closed = False

    @classmethod
    async def start(cls, model: Path, *, adapter: Path | None = None, threads: int = 1) -> TorchBackend:
        """Load `model` (a folder of safetensors, or GGUF), under `adapter` where one is given.

        Raises:
            FileUnusable: something cannot be read.
            ConfigurationInvalid: PyTorch is not installed.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix="torch")
        try:
            loaded = await asyncio.get_running_loop().run_in_executor(thread, _load, model, adapter, threads)
            digest = await asyncio.to_thread(_digest, model, adapter)
        except ImportError:
            thread.shutdown()
            raise ConfigurationInvalid("PyTorch is not installed; install safeconduct[finetune]") from None
        except BaseException:
            thread.shutdown()
            raise
        version = importlib.metadata.version("torch")
        template = sha256(loaded.text.template.encode())
        facts = {"engine": version, "model": digest, "template": template, "threads": threads}
        return cls(
            loaded,
            thread,
            name=model.stem,
            identity=BackendIdentity(
                name="torch",
                version=version,
                model_digest=digest,
                template_digest=template,
                fingerprint=sha256(json.dumps(facts, sort_keys=True).encode()),
            ),
        )

    @property
    def capabilities(self) -> Capabilities:
        """What it can do with this model."""
        return Capabilities(
            chat=bool(self._loaded.text.template),
            tools=False,
            score=True,
            top_logprobs=TOP_LOGPROBS,
            streaming=True,
            seed=True,
            count=True,
            max_context_tokens=self._loaded.context_tokens,
        )

    async def identify(self) -> BackendIdentity:
        """Return PyTorch's version and the digests of weights and chat template."""
        return self._identity

    async def close(self) -> None:
        """Answer no more."""
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def tokens_of_text(self, text: str) -> list[int]:
        """See `TokenScorer`."""
        ids: list[int] = self._loaded.text.encode(text)
        return ids

    async def tokens_of_chat(self, messages: tuple[Message, ...], continuation: str) -> list[int]:
        """See `TokenScorer`."""
        ids: list[int] = self._loaded.text.encode(self._loaded.text.prompt(messages) + continuation)
        return ids

    async def begin(self, ids: list[int]) -> None:
        """See `TokenScorer`; nothing is kept from one call to the next."""

    async def logprobs_from(self, ids: list[int], start: int) -> TokenScores:
        """See `TokenScorer`."""
        return TokenScores(await self._do(_logprobs, self._loaded.model, ids, start), 0)

    async def _answer(self, request: Request, sampling: Sampling, seed: int) -> AsyncGenerator[Delta | Finished, None]:
        if isinstance(request, CountRequest):
            tokens = len(self._loaded.text.encode(request.text))
            yield counted(tokens, model=self._name)
        elif isinstance(request, ScoreRequest):
            yield await score(request, self, max_context_tokens=self._loaded.context_tokens)
        else:
            async for step in self._chat(request, sampling, seed):
                yield step

    async def _chat(
        self, request: ChatRequest, sampling: Sampling, seed: int
    ) -> AsyncGenerator[Delta | Finished, None]:
        text, room = self._loaded.text, self._loaded.context_tokens
        prompt = text.encode(text.prompt(request.messages))
        if not prompt or len(prompt) >= room:
            raise backend_failed("context_exceeded", "the request is longer than the model's context")
        drawing = _Drawing(self._loaded.model, prompt, sampling, seed)
        written = _Written(text.decode, request.stop)
        logprobs: list[GeneratedToken] = []
        reason: FinishReason = "length"
        for _ in range(min(sampling.max_output_tokens, room - len(prompt))):
            token, ranked = await self._do(drawing.next)
            if token == text.end:
                reason = "stop"
                break
            if sampling.top_logprobs:
                logprobs.append(_told(token, ranked, text.decode))
            if piece := written.add(token):
                yield Delta(piece)
            if written.stopped:
                reason = "stop"
                break
        if piece := written.rest():
            yield Delta(piece)
        usage = Usage(input_tokens=len(prompt), cached_tokens=0, output_tokens=len(written.ids), reasoning_tokens=0)
        result = ChatResult(content=written.text, logprobs=tuple(logprobs))
        yield Finished(result, usage, reason, actual_model=self._name)

    async def _do(self, work: Callable[..., T], *given: object) -> T:
        if self._closed:
            raise backend_failed("unreachable", "the model was closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *given)


class _Drawing:
    """Draws one token after another; the keys and values of what was read are kept."""

    def __init__(self, model: Any, prompt: list[int], sampling: Sampling, seed: int) -> None:
        import torch  # noqa: PLC0415 - only a lab with this backend has it
        from transformers import DynamicCache  # noqa: PLC0415

        self._model, self._next, self._read = model, prompt, DynamicCache(config=model.config)
        self._temperature, self._top_p = float(sampling.temperature), float(sampling.top_p)
        self._top = sampling.top_logprobs
        self._random = torch.Generator().manual_seed(seed)

    def next(self) -> tuple[int, list[tuple[int, float]]]:
        import torch  # noqa: PLC0415 - as above

        with torch.inference_mode():
            out = self._model(torch.tensor([self._next]), cache=self._read, use_cache=True)
            logits = out.logits[0, -1].double()
            token = int(logits.argmax()) if self._temperature == 0 else self._drawn(logits)
            ranked = []
            if self._top:
                logprobs = torch.log_softmax(logits, -1)
                best = torch.topk(logprobs, self._top)
                ranked = list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
                ranked.append((token, float(logprobs[token])))
        self._next = [token]
        return token, ranked

    def _drawn(self, logits: Any) -> int:
        import torch  # noqa: PLC0415 - as above

        chances, order = torch.softmax(logits / self._temperature, -1).sort(descending=True, stable=True)
        before = chances.cumsum(-1) - chances
        chances = torch.where(before < self._top_p, chances, 0.0)
        return int(order[torch.multinomial(chances, 1, generator=self._random)])


class _Written:
    """The text of an answer as it grows, cut before the first stop text."""

    def __init__(self, decode: Callable[[Sequence[int]], str], stops: tuple[str, ...]) -> None:
        self._decode = decode
        self._stops = tuple(stop for stop in stops if stop)
        self._held = max((len(stop) for stop in self._stops), default=1) - 1
        self.ids: list[int] = []
        self.text = ""
        self.stopped = False
        self._sent = 0

    def add(self, token: int) -> str:
        """Take a token and return what may be shown now: never the beginning of a stop text or of a character."""
        self.ids.append(token)
        self.text = self._decode(self.ids)
        found = [at for stop in self._stops if (at := self.text.find(stop)) >= 0]
        if found:
            self.text, self.stopped = self.text[: min(found)], True
            return ""
        return self._send(len(self.text.rstrip("\ufffd")) - self._held)

    def rest(self) -> str:
        return self._send(len(self.text))

    def _send(self, end: int) -> str:
        piece, self._sent = self.text[self._sent : max(end, self._sent)], max(end, self._sent)
        return piece


def _load(model: Path, adapter: Path | None, threads: int) -> Any:
    import torch  # noqa: PLC0415 - only a lab with this backend has it

    from lab_server.torch_models.adapting import merge_adapter  # noqa: PLC0415
    from lab_server.torch_models.loading import load_model  # noqa: PLC0415

    torch.set_num_threads(threads)
    loaded = load_model(model)
    if adapter is not None:
        merge_adapter(loaded.model, adapter)
    return loaded


def _digest(model: Path, adapter: Path | None) -> str:
    digest = build_manifest(model).digest()
    if adapter is None:
        return digest
    try:
        return sha256(bytes.fromhex(digest) + bytes.fromhex(sha256(adapter.read_bytes())))
    except OSError as error:
        raise FileUnusable(f"the adapter cannot be read: {error.strerror}", file=adapter.name) from None


def _logprobs(model: Any, ids: list[int], start: int) -> list[float]:
    import torch  # noqa: PLC0415 - as above

    with torch.inference_mode():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0, start - 1 : -1].double()
        logprobs = torch.log_softmax(logits, -1).gather(1, torch.tensor(ids[start:]).unsqueeze(1))
    return [logprob_of(value) for value in logprobs.squeeze(1).tolist()]


def _told(token: int, ranked: list[tuple[int, float]], decode: Callable[[Sequence[int]], str]) -> GeneratedToken:
    *best, (_, own) = ranked
    top = tuple(TokenLogprob(token=decode([number]), logprob=decimal(logprob_of(value))) for number, value in best)
    return GeneratedToken(token=decode([token]), logprob=decimal(logprob_of(own)), top=top)
