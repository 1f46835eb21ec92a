"""What a lab decides about elicitation hooks: the `[hooks]` tables of `lab.toml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from attestations.documents.base import Count, Decimal, Name
from lab_server.toml_table import Snake


class SandboxHookSettings(Snake):
    """Whether auditors may run scaffolds beside the model here, and the most one sandbox may use.

    `off`: not offered; `on`: offered, as long as this machine can isolate; `refused`: offered in the terms and
    declined, on record, whenever it is asked for.
    """

    state: Literal["off", "on", "refused"] = "off"
    reason: str = Field(default="", max_length=500)
    provider: Literal["bubblewrap", "gvisor"] = "bubblewrap"
    packages: tuple[Name, ...] = ()
    degraded: bool = False
    sandboxes: int = Field(default=4, ge=1, le=1024)
    idle_seconds: int = Field(default=600, ge=1, le=86_400)
    wall_seconds: int = Field(default=3600, ge=1, le=86_400)
    cpu_seconds: int = Field(default=3600, ge=1, le=86_400)
    cpu_cores: Decimal = "1"
    memory_mb: int = Field(default=512, ge=16, le=1_048_576)
    processes: int = Field(default=256, ge=1, le=65_536)
    disk_mb: int = Field(default=256, ge=1, le=1_048_576)
    files: int = Field(default=4096, ge=1, le=10_000_000)
    output_bytes: int = Field(default=1 << 20, ge=1, le=1 << 30)
    model_calls: int = Field(default=10_000, ge=0, le=1_000_000)

    @model_validator(mode="after")
    def _says_why(self) -> SandboxHookSettings:
        if (self.state == "refused") != bool(self.reason):
            raise ValueError("a reason goes with the state `refused`, and only with it")
        return self


class FineTuneHookSettings(Snake):
    """Whether auditors may have models trained here, and how much; the states are those of the sandbox hook.

    `trainer` is `peft` (LoRA in a process of its own), `rehearsed` (for scripted models), or `module:factory`, which
    returns a `Trainer` of the lab's own. `jobs` run at once, of all auditors; `max_jobs` and `max_train_tokens` are
    what one agreement grants.
    """

    state: Literal["off", "on", "refused"] = "off"
    reason: str = Field(default="", max_length=500)
    trainer: str = Field(default="peft", pattern=r"^(peft|rehearsed|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$")
    jobs: int = Field(default=1, ge=1, le=64)
    threads: int = Field(default=1, ge=1, le=256)
    checkpoint_steps: int = Field(default=20, ge=1, le=100_000)
    max_jobs: int = Field(default=8, ge=1, le=1000)
    max_train_tokens: Count = "1000000"

    @model_validator(mode="after")
    def _says_why(self) -> FineTuneHookSettings:
        if (self.state == "refused") != bool(self.reason):
            raise ValueError("a reason goes with the state `refused`, and only with it")
        return self


class HooksSettings(Snake):
    """The elicitation hooks this lab offers."""

    sandbox: SandboxHookSettings = SandboxHookSettings()
    fine_tune: FineTuneHookSettings = FineTuneHookSettings()

    def offered(self) -> frozenset[str]:
        """Return the operations of the hooks that terms may name."""
        states = {"sandbox": self.sandbox.state, "fine_tune": self.fine_tune.state}
        return frozenset(name for name, state in states.items() if state != "off")

    def declined(self) -> dict[str, str]:
        """Return why each hook is declined that is not to be had."""
        said: dict[str, SandboxHookSettings | FineTuneHookSettings] = {
            "sandbox": self.sandbox,
            "fine_tune": self.fine_tune,
        }
        return {name: item.reason or "not offered here" for name, item in said.items() if item.state != "on"}
