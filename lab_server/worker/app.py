"""The worker's composition root: backends from the settings, keys in memory, one unix socket."""

from __future__ import annotations

import asyncio
import ctypes
import json
import resource
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from attestations.digests import sha256
from attestations.errors import ConfigurationInvalid, FileUnusable, SafeconductError
from lab_server.backends.llama import LlamaBackend, LlamaSettings, packaged_model
from lab_server.backends.openai_compatible import OpenAICompatibleBackend
from lab_server.backends.scripted import ScriptedBackend
from lab_server.home import Home
from lab_server.model_port import ModelBackend
from lab_server.ports import ServedVariant
from lab_server.services.worker import serving_worker
from lab_server.settings import BackendSettings, Settings, VariantSettings, load_settings
from lab_server.weights import WeightsManifest, build_manifest, check_weights, manifest_from_openssf
from lab_server.worker.enrolment import DeclaredRuntime, Enrolment, RuntimeAttester
from lab_server.worker.hooking import make_hooks
from lab_server.worker.sealed_runs import SealedRuns, Served

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


class Started(NamedTuple):
    """The name of this boot, what it serves and what it declines."""

    boot: str
    variants: tuple[ServedVariant, ...]
    declined: Mapping[str, str]  # hook -> why it is not to be had


def main() -> None:
    """Run the worker: `python -m lab_server.worker HOME SOCKET`; never used by hand."""
    home, socket = Home(Path(sys.argv[1])), sys.argv[2]
    _shut_in()
    try:
        asyncio.run(_serve(home, socket))
    except SafeconductError as error:
        # The gateway reads this line; it holds no content.
        print(json.dumps({"failed": error.message, "reason": error.reason}), flush=True)  # noqa: T201
        sys.exit(int(error.exit_code))


def _shut_in() -> None:
    """Leave no core dump, let no other process of this user look in, and go when the gateway goes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches us too: the gateway says when to go
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


async def _serve(home: Home, socket: str) -> None:
    async with worker(home, load_settings(home.settings), socket) as started:
        variants = [asdict(variant) for variant in started.variants]
        told = {"ready": started.boot, "variants": variants, "declined": dict(started.declined)}
        print(json.dumps(told), flush=True)  # noqa: T201 - the gateway waits for it
        # The gateway holds the other end of our standard input: its end is our end.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


@asynccontextmanager
async def worker(
    home: Home, settings: Settings, socket: str, *, attester: RuntimeAttester | None = None
) -> AsyncIterator[Started]:
    """Serve on `socket` and tell what runs; without an attester at RA0, where the lab's word is all there is."""
    async with AsyncExitStack() as stack:
        backends: dict[str, ModelBackend] = {}
        for name in {variant.backend for variant in settings.variant}:
            backends[name] = await _backend(home, settings.backend[name])
            stack.push_async_callback(backends[name].close)
        served, variants = {}, []
        for variant in settings.variant:
            item, described = await _serve_variant(home, variant, settings, backends[variant.backend])
            served[variant.id] = item
            variants.append(described)
        boot = secrets.token_hex(8)
        hooks = await make_hooks(settings.hooks)
        for hook in hooks.handlers.values():
            stack.push_async_callback(hook.close)
        runs = SealedRuns(served, hooks.handlers)
        identity = await next(iter(backends.values())).identify()
        enrolment = Enrolment(
            boot=boot,
            backend=f"{identity.name}/{identity.version}",
            variants=tuple(variants),
            runs=runs,
            attester=attester or DeclaredRuntime(),
        )
        await stack.enter_async_context(serving_worker(socket, runs=runs, enrolment=enrolment))
        yield Started(boot, tuple(variants), hooks.declined)


async def _backend(home: Home, settings: BackendSettings) -> ModelBackend:
    if settings.kind == "llama":
        model = home.relative(settings.model) if settings.model else packaged_model()
        return await LlamaBackend.start(
            model,
            expected_sha256=settings.sha256,
            settings=LlamaSettings(
                threads=settings.threads, slots=settings.slots, context_tokens=settings.context_tokens
            ),
        )
    if settings.kind == "openai":
        return await OpenAICompatibleBackend.connect(
            settings.base_url or "",
            model=settings.model,
            api_key_file=home.relative(settings.api_key_file) if settings.api_key_file else None,
            tools=settings.tools,
        )
    return ScriptedBackend.from_file(home.relative(settings.script or ""))


async def _serve_variant(
    home: Home, variant: VariantSettings, settings: Settings, backend: ModelBackend
) -> tuple[Served, ServedVariant]:
    identity = await backend.identify()
    manifest = _manifest_digest(home, variant, settings.backend[variant.backend], identity.fingerprint)
    able = backend.capabilities
    operations = tuple(name for name, can in (("chat", able.chat), ("score", able.score), ("count", able.count)) if can)
    return (
        Served(variant.id, manifest, identity.template_digest, backend, identity.fingerprint),
        ServedVariant(variant.id, manifest, identity.template_digest, operations, able.top_logprobs, able.tools),
    )


def _manifest_digest(home: Home, variant: VariantSettings, backend: BackendSettings, fingerprint: str) -> str:
    weights = None
    if backend.kind == "llama":
        weights = home.relative(backend.model) if backend.model else packaged_model()
    if variant.manifest is not None:
        manifest = _read_manifest(home, variant.manifest)
        if weights is not None:
            check_weights(weights, manifest)
        return manifest.digest()
    if weights is not None:
        return build_manifest(weights).digest()
    # Weights out of reach: what is declared is the server's fingerprint, and evidence says RA0.
    return sha256(b"safeconduct/v1 declared model\0" + fingerprint.encode())


def _read_manifest(home: Home, name: str) -> WeightsManifest:
    path = home.relative(name)
    data = home.read(path)
    try:
        value = json.loads(data)
    except ValueError:
        raise FileUnusable(f"{path} is not a weights manifest", path=str(path)) from None
    if isinstance(value, dict) and value.get("_type") == "https://in-toto.io/Statement/v1":
        return manifest_from_openssf(value)
    if not isinstance(value, dict):
        raise ConfigurationInvalid(f"{path} is not a weights manifest", field="manifest")
    return WeightsManifest.parse(data.strip())
