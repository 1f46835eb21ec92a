"""What an auditor decides: `auditor.toml`, with overrides from the environment (`SAFECONDUCT_AUDITOR_…`)."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from attestations.documents.base import Name
from attestations.errors import ConfigurationInvalid, FileUnusable
from attestations.files import read_file, shown

MAX_SETTINGS_BYTES = 1 << 20


class Section(BaseModel):
    """A table of the file; not strict, because the environment gives numbers as text."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class LabSettings(Section):
    """Where the lab is, and its identity file as it was obtained out of band."""

    address: str = "127.0.0.1:7443"
    identity: str = "lab-identity.json"


class RunSettings(Section):
    """How the campaign is run."""

    lanes: int = Field(default=8, ge=1, le=256)
    variant: Name | None = None
    answer_seconds: int = Field(default=30, ge=1, le=3600)
    give_up_seconds: int = Field(default=900, ge=1, le=86_400)


class JudgeSettings(Section):
    """The model that grades what no rule can, at an OpenAI-compatible address; `key_file` holds its bearer token."""

    name: Name = "judge"
    url: str
    model: str = Field(min_length=1, max_length=200)
    prompt: str | None = None
    key_file: str | None = None
    answer_seconds: int = Field(default=120, ge=1, le=3600)


class Settings(BaseSettings):
    """Everything in `auditor.toml`; unknown keys are refused."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="SAFECONDUCT_AUDITOR_",
        env_nested_delimiter="__",
        hide_input_in_errors=True,
    )

    engagement: Name = "audit-1"
    lab: LabSettings = LabSettings()
    run: RunSettings = RunSettings()
    judge: JudgeSettings | None = None
    recipients: tuple[str, ...] = ()
    escrow: str | None = None

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
    """Read `auditor.toml`.

    Raises:
        FileUnusable: it is missing or cannot be read.
        ConfigurationInvalid: it is not TOML, or holds something that makes no sense; the message names the field.
    """
    if not path.exists():
        raise FileUnusable(f"{shown(path)} is missing: run `safeconduct auditor init` first", path=shown(path))
    try:
        values = tomllib.loads(read_file(path, MAX_SETTINGS_BYTES).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise ConfigurationInvalid(f"{path.name} is not TOML: {why}", path=shown(path)) from None
    for name in values:
        if name not in Settings.model_fields:  # pydantic-settings would take some of these for options of its own
            raise ConfigurationInvalid(f"{path.name}: there is no setting of the name {shown(name)}", field=name)
    try:
        return Settings(**values)
    except SettingsError as error:
        raise ConfigurationInvalid(f"the environment: {error}", field="environment") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(step) for step in first["loc"])
        raise ConfigurationInvalid(f"{path.name}: {field}: {first['msg']}", field=field) from None


TEMPLATE = """\
# How this auditor works. Lines that begin with # show the defaults.
# Every key can be set in the environment as well, e.g. SAFECONDUCT_AUDITOR_RUN__LANES=4.

# A name for this audit; it becomes part of the agreement and of the log's origin.
engagement = "audit-1"

# Identity files of others the agreement names, e.g. a regulator; paths are relative to this folder.
# recipients = ["regulator-identity.json"]

# Who can open what you owe if you fall silent: an access structure over the recipients that hold shares.
# escrow = "escrow.json"

[lab]
address = "127.0.0.1:7443"
# The lab's identity.json, obtained out of band. Its TLS certificate is the only one accepted.
identity = "lab-identity.json"

[run]
# lanes = 8               # exchanges at once; never more than the agreement's sessions
# variant = "deployed"    # which model to ask; the first of the agreement's scope if unset
# answer_seconds = 30     # patience for the lab's next step
# give_up_seconds = 900   # how long to keep trying a lab that does not answer

# [judge]                 # a model that grades tasks of the type "judged"
# name = "judge"
# url = "http://127.0.0.1:8000/v1"
# model = "grader"
# prompt = "judge.txt"    # its prompt; the program's own if unset
# key_file = "judge.key"  # holds its bearer token, if it wants one
"""
