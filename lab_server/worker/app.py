"""The worker's composition root: backends from the settings, keys in memory, one unix socket."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from attestations.errors import SafeconductError
from lab_server.home import Home
from lab_server.model_port import ModelBackend
from lab_server.ports import ServedVariant
from lab_server.services.worker import serving_worker
from lab_server.settings import Settings, load_settings
from lab_server.shut_in import shut_in
from lab_server.worker.enrolment import DeclaredRuntime, Enrolment, RuntimeAttester
from lab_server.worker.hooking import make_hooks
from lab_server.worker.sealed_runs import SealedRuns
from lab_server.worker.serving import open_backend, serve_variant
from lab_server.worker.training_hook import fine_tune_hook


class Started(NamedTuple):
    """The name of this boot, what it serves and what it declines."""

    boot: str
    variants: tuple[ServedVariant, ...]
    declined: Mapping[str, str]  # hook -> why it is not to be had


def main() -> None:
    """Run the worker: `python -m lab_server.worker HOME SOCKET`; never used by hand."""
    home, socket = Home(Path(sys.argv[1])), sys.argv[2]
    shut_in()
    try:
        asyncio.run(_serve(home, socket))
    except SafeconductError as error:
        # The gateway reads this line; it holds no content.
        print(json.dumps({"failed": error.message, "reason": error.reason}), flush=True)  # noqa: T201
        sys.exit(int(error.exit_code))


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
            backends[name] = await open_backend(home, settings.backend[name])
            stack.push_async_callback(backends[name].close)
        served, variants = {}, []
        for variant in settings.variant:
            item, described = await serve_variant(home, variant, settings, backends[variant.backend])
            served[variant.id] = item
            variants.append(described)
        boot = secrets.token_hex(8)
        hooks = await make_hooks(settings.hooks)
        declined, handlers = dict(hooks.declined), dict(hooks.handlers)
        tuning = await fine_tune_hook(home, settings, served, declined)
        if tuning is not None:
            handlers["fine_tune"] = tuning
        for hook in handlers.values():
            stack.push_async_callback(hook.close)
        runs = SealedRuns(served, handlers, None if tuning is None else tuning.served)
        identity = await next(iter(backends.values())).identify()
        enrolment = Enrolment(
            boot=boot,
            backend=f"{identity.name}/{identity.version}",
            variants=tuple(variants),
            runs=runs,
            attester=attester or DeclaredRuntime(),
        )
        await stack.enter_async_context(serving_worker(socket, runs=runs, enrolment=enrolment))
        yield Started(boot, tuple(variants), declined)
