"""Runs each job in a process of its own, which dies with us and holds the only copy of PyTorch.

What goes into it goes through its standard input: nothing of a job stands in its arguments or its environment.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress

from lab_server.trainer.port import Event, Trained, TrainingJob, training_failed
from lab_server.trainer.wire import event_from_line, job_bytes

_NEEDED = ("torch", "transformers", "peft", "gguf", "safetensors", "tokenizers")
_LINE_BYTES = 1 << 16
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "SYSTEMROOT", "VIRTUAL_ENV")


class ProcessTrainer:
    """LoRA by `peft` (a `Trainer`)."""

    async def identify(self) -> str:
        """Return the versions that decide what comes out."""
        missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
        if missing:
            raise training_failed("TRAINER_MISSING", f"fine-tuning needs {', '.join(missing)}: safeconduct[finetune]")
        return f"peft/{importlib.metadata.version('peft')}+torch-{importlib.metadata.version('torch')}"

    async def train(self, job: TrainingJob) -> AsyncGenerator[Event, None]:
        """See `Trainer.train`; closing the generator kills the process."""
        await self.identify()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "lab_server.trainer",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # a traceback may quote what it fell over
            env=_environment(job.threads),
            limit=_LINE_BYTES,
        )
        try:
            async for event in _events(process, job):
                yield event
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _events(process: asyncio.subprocess.Process, job: TrainingJob) -> AsyncGenerator[Event, None]:
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
    with suppress(ConnectionError):  # it may have died; its end says so
        process.stdin.write(job_bytes(job))
        await process.stdin.drain()
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:
            raise training_failed("TRAINER_DIED", "the trainer said something that makes no sense") from None
        if not line.endswith(b"\n"):
            raise training_failed("TRAINER_DIED", "the trainer ended before its job did")
        event = event_from_line(line)
        yield event
        if isinstance(event, Trained):
            return


def _environment(threads: int) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(threads),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
