"""Any server that speaks the OpenAI form: vLLM, SGLang, llama.cpp's server, Ollama.

`connect` asks the server once what it is. Chat works with all of them; scoring and counting need calls
of the server's own (`llama_server.py`, `vllm_server.py`) and are off where neither is found.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import httpx

from attestations.digests import sha256
from attestations.documents.dialogue import ChatRequest, CountRequest, Sampling, ScoreRequest
from attestations.errors import BackendFailed, ConfigurationInvalid, FileUnusable
from lab_server.backends import llama_server, vllm_server
from lab_server.backends.answering import Answering, counted
from lab_server.backends.http_calls import get_json, post_events
from lab_server.backends.numbers import count_of
from lab_server.backends.openai_chat import chat_answer, chat_body
from lab_server.backends.scoring import TokenScorer, score
from lab_server.model_port import BackendIdentity, Capabilities, Delta, Finished, Request, backend_failed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

TOP_LOGPROBS = 20
PROBE_SECONDS = 10.0
CONNECT_SECONDS = 10.0
Dialect = Literal["llama.cpp", "vllm", "openai"]


@dataclass(frozen=True)
class ServerFacts:
    """What the probe found out."""

    dialect: Dialect
    model: str
    version: str
    template: str
    capabilities: Capabilities


class OpenAICompatibleBackend(Answering):
    """A model behind an HTTP server (a `ModelBackend`); make one with `OpenAICompatibleBackend.connect`."""

    def __init__(self, http: httpx.AsyncClient, facts: ServerFacts) -> None:
        self._http = http
        self._facts = facts

    @classmethod
    async def connect(
        cls, base_url: str, *, model: str | None = None, api_key_file: Path | None = None, tools: bool = True
    ) -> OpenAICompatibleBackend:
        """Probe the server at `base_url` (as `http://127.0.0.1:8000/v1`) and return the backend.

        `model` may be left out where the server serves just one; `tools=False` where it was started without
        a tool parser, which no server tells.

        Raises:
            ConfigurationInvalid: the address is none, or the model is not served.
            FileUnusable: the key file cannot be read.
            BackendFailed: the server does not answer, or not in the OpenAI form.
        """
        http = _client(base_url, _key(api_key_file))
        try:
            return cls(http, await _probe(http, model, tools=tools))
        except BaseException:
            await http.aclose()
            raise

    @property
    def capabilities(self) -> Capabilities:
        """What the probe found the server able to do."""
        return self._facts.capabilities

    async def identify(self) -> BackendIdentity:
        """Return what the server says of itself; the weights are out of reach, so there is no digest of them."""
        facts = self._facts
        told = {"dialect": facts.dialect, "model": facts.model, "template": facts.template, "version": facts.version}
        return BackendIdentity(
            name=facts.dialect,
            version=facts.version,
            model_digest=None,
            template_digest=sha256(facts.template.encode()),
            fingerprint=sha256(json.dumps(told, sort_keys=True).encode()),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _answer(self, request: Request, sampling: Sampling, seed: int) -> AsyncGenerator[Delta | Finished, None]:
        if isinstance(request, CountRequest):
            tokens = await self._count(request.text)
            yield counted(tokens, model=self._facts.model)
        elif isinstance(request, ScoreRequest):
            finished = await score(request, self._scorer(), max_context_tokens=self.capabilities.max_context_tokens)
            yield replace(finished, actual_model=self._facts.model)
        else:
            body = self._body(request, sampling, seed)
            steps = chat_answer(
                post_events(self._http, "/v1/chat/completions", body), top_logprobs=sampling.top_logprobs
            )
            try:
                async for step in steps:
                    yield step
            finally:
                await steps.aclose()

    def _scorer(self) -> TokenScorer:
        if self._facts.dialect == "llama.cpp":
            return llama_server.LlamaScorer(self._http)
        return vllm_server.VllmScorer(self._http, self._facts.model)

    async def _count(self, text: str) -> int:
        if self._facts.dialect == "llama.cpp":
            return await llama_server.count_tokens(self._http, text)
        return await vllm_server.count_tokens(self._http, self._facts.model, text)

    def _body(self, request: ChatRequest, sampling: Sampling, seed: int) -> dict[str, Any]:
        if self._facts.dialect == "llama.cpp":
            return llama_server.llama_chat_body(request, sampling, seed=seed, model=self._facts.model)
        return chat_body(request, sampling, seed=seed, model=self._facts.model)


def _client(base_url: str, key: str | None) -> httpx.AsyncClient:
    try:
        url = httpx.URL(base_url.rstrip("/").removesuffix("/v1"))
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationInvalid("the model server's address is not an http or https address", option="base_url")
    return httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),  # `answer` keeps the deadline
        limits=httpx.Limits(max_connections=None),
        trust_env=False,  # a proxy of the environment would see every prompt
        follow_redirects=False,
    )


def _key(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        key = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise FileUnusable("the file with the model server's key cannot be read", file=path.name) from None
    if not key or not key.isprintable():
        raise FileUnusable("the file with the model server's key holds no key", file=path.name)
    return key


async def _optional(http: httpx.AsyncClient, path: str) -> dict[str, Any]:
    try:
        return await get_json(http, path)
    except BackendFailed:
        return {}


async def _probe(http: httpx.AsyncClient, wanted: str | None, *, tools: bool) -> ServerFacts:
    http.timeout = httpx.Timeout(PROBE_SECONDS)
    listing = await get_json(http, "/v1/models")
    entry = _choose(listing.get("data"), wanted)
    model, owner = str(entry["id"]), entry.get("owned_by")
    version, template, context = "unknown", "", 0
    dialect: Dialect = "openai"
    score_and_count = False
    if owner == "llamacpp":
        dialect, score_and_count = "llama.cpp", True
        props = await _optional(http, "/props")
        template = str(props.get("chat_template") or "")
        version = str(props.get("build_info") or "unknown")
        settings, caps = props.get("default_generation_settings"), props.get("chat_template_caps")
        context = count_of(settings.get("n_ctx")) if isinstance(settings, dict) else 0
        if isinstance(caps, dict):
            tools = tools and caps.get("supports_tools") is True
    elif owner == "vllm":
        dialect = "vllm"
        version = str((await _optional(http, "/version")).get("version") or "unknown")
        context = count_of(entry.get("max_model_len"))
        score_and_count = await vllm_server.can_score(http, model)
    http.timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
    return ServerFacts(
        dialect=dialect,
        model=model,
        version=version,
        template=template,
        capabilities=Capabilities(
            chat=True,
            tools=tools,
            score=score_and_count,
            # Ollama and others ignore `logprobs`; promising them would be a silent gap in the evidence.
            top_logprobs=TOP_LOGPROBS if dialect != "openai" else 0,
            streaming=True,
            seed=True,
            count=score_and_count,
            max_context_tokens=context,
        ),
    )


def _choose(models: object, wanted: str | None) -> dict[str, Any]:
    served = (
        [m for m in models if isinstance(m, dict) and isinstance(m.get("id"), str)] if isinstance(models, list) else []
    )
    if not served:
        raise backend_failed("malformed", "the model server lists no models")
    if wanted is None and len(served) == 1:
        return served[0]
    for entry in served:
        if entry["id"] == wanted:
            return entry
    message = "the server serves several models; name one" if wanted is None else "the server does not serve this model"
    raise ConfigurationInvalid(message, option="model", served=str(len(served)))
