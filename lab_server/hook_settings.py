"""What a lab decides about elicitation hooks: the `[hooks]` tables of `lab.toml`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from attestations.documents.base import Count, Decimal, Name
from attestations.documents.hooks import (
    DiskMb,
    Files,
    MemoryMb,
    ModelCallCount,
    OutputBytes,
    Processes,
    SandboxSeconds,
)
from lab_server.toml_table import Snake


class HookSettings(Snake):
    """Whether one hook is to be had.

    `off`: not offered; `on`: offered, as long as this machine can do it; `refused`: offered in the terms and
    declined, on record, whenever it is asked for.
    """

    state: Literal["off", "on", "refused"] = "off"
    reason: str = Field(default="", max_length=500)

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if (self.state == "refused") != bool(self.reason):
            raise ValueError("a reason goes with the state `refused`, and only with it")
        return self


class SandboxHookSettings(HookSettings):
    """Whether auditors may run scaffolds beside the model here, and the most one sandbox may use."""

    provider: Literal["bubblewrap", "gvisor"] = "bubblewrap"
    packages: tuple[Name, ...] = ()
    degraded: bool = False
    sandboxes: int = Field(default=4, ge=1, le=1024)
    idle_seconds: int = Field(default=600, ge=1, le=86_400)
    wall_seconds: SandboxSeconds = 3600
    cpu_seconds: SandboxSeconds = 3600
    cpu_cores: Decimal = "1"
    memory_mb: MemoryMb = 512
    processes: Processes = 256
    disk_mb: DiskMb = 256
    files: Files = 4096
    output_bytes: OutputBytes = 1 << 20
    model_calls: ModelCallCount = 10_000


class FineTuneHookSettings(HookSettings):
    """Whether auditors may have models trained here, and how much.

    `trainer` is `peft` (LoRA in a process of its own), `rehearsed` (for scripted models), or `module:factory`, which
    returns a `Trainer` of the lab's own. `jobs` run at once, of all auditors; `max_jobs` and `max_train_tokens` are
    what one agreement grants.
    """

    trainer: str = Field(default="peft", pattern=r"^(peft|rehearsed|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$")
    jobs: int = Field(default=1, ge=1, le=64)
    threads: int = Field(default=1, ge=1, le=256)
    checkpoint_steps: int = Field(default=20, ge=1, le=100_000)
    max_jobs: int = Field(default=8, ge=1, le=1000)
    max_train_tokens: Count = "1000000"


class HooksSettings(Snake):
    """The elicitation hooks this lab offers."""

    sandbox: SandboxHookSettings = SandboxHookSettings()
    fine_tune: FineTuneHookSettings = FineTuneHookSettings()

    def offered(self) -> frozenset[str]:
        """Return the operations of the hooks that terms may name."""
        return frozenset(name for name, hook in self._by_operation().items() if hook.state != "off")

    def declined(self) -> dict[str, str]:
        """Return why each hook is declined that is not to be had."""
        hooks = self._by_operation()
        return {name: hook.reason or "not offered here" for name, hook in hooks.items() if hook.state != "on"}

    def _by_operation(self) -> dict[str, HookSettings]:
        return {"sandbox": self.sandbox, "fine_tune": self.fine_tune}
