"""Reads an agent's folder into what is sent to the sandbox: its files, its entry point and its environment."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attestations.documents.sandboxing import MAX_FILE_BYTES, MAX_FILES
from attestations.errors import ConfigurationInvalid, FileUnusable
from attestations.files import read_file, shown

DECLARED = "scaffold.toml"
OCI_CONFIG, OCI_ROOT = "config.json", "rootfs"
MAX_BUNDLE_BYTES = 64 << 20
_PLAIN = re.compile(r"[A-Za-z0-9._@+=, -]{1,128}", re.ASCII)
_LEFT_OUT = frozenset({"__pycache__", ".git", ".venv", DECLARED})


@dataclass(frozen=True, repr=False)
class BundleFile:
    """One file: its path in the sandbox's folder, its bytes, and whether it is a program."""

    path: str
    data: bytes
    executable: bool


@dataclass(frozen=True, repr=False)
class Bundle:
    """An agent ready to be sent."""

    files: tuple[BundleFile, ...]
    entry: tuple[str, ...]
    env: Mapping[str, str]


def read_bundle(folder: Path, *, entry: str | None = None) -> Bundle:
    """Read an agent.

    The entry point is `entry` (a Python file in the folder), or what `scaffold.toml` declares (`entry = ["python3",
    "main.py"]` and a table `env`), or the process of an OCI bundle's `config.json` with the files under `rootfs`.

    Raises:
        FileUnusable: the folder or a file in it cannot be read, or is no regular file.
        ConfigurationInvalid: no entry point is declared, or something does not fit into a sandbox.
    """
    if not folder.is_dir():
        raise FileUnusable(f"{shown(folder)} is not a folder", path=shown(folder))
    root, argv, env = folder, None, dict[str, str]()
    if (folder / DECLARED).exists():
        argv, env = _declared(folder / DECLARED)
    elif (folder / OCI_CONFIG).exists() and (folder / OCI_ROOT).is_dir():
        root = folder / OCI_ROOT
        argv, env = _oci(folder / OCI_CONFIG)
    if entry is not None:
        argv = ("python3", entry)
    if argv is None:
        raise ConfigurationInvalid(f"say --entry FILE, or declare it in {DECLARED}", field="entry")
    files = tuple(_files(root))
    if entry is not None and entry not in {file.path for file in files}:
        raise ConfigurationInvalid("the entry point is not among the files", field="entry")
    if sum(len(file.data) for file in files) > MAX_BUNDLE_BYTES:
        raise ConfigurationInvalid(f"a bundle is at most {MAX_BUNDLE_BYTES >> 20} MiB", field="files")
    return Bundle(files, argv, env)


def _files(root: Path) -> Iterator[BundleFile]:
    count = 0
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if any(part in _LEFT_OUT for part in relative.parts):
            continue
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise FileUnusable(f"{shown(relative)} is no regular file: a bundle holds nothing else", path=shown(path))
        if path.is_dir():
            continue
        if not all(_PLAIN.fullmatch(part) for part in relative.parts):
            raise ConfigurationInvalid(f"{shown(relative)}: a sandbox takes plain ASCII names", field="files")
        count += 1
        if count > MAX_FILES:
            raise ConfigurationInvalid(f"a bundle holds at most {MAX_FILES} files", field="files")
        yield BundleFile(relative.as_posix(), read_file(path, MAX_FILE_BYTES), bool(path.stat().st_mode & 0o100))


def _declared(path: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    try:
        value = tomllib.loads(read_file(path, 1 << 20).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        raise ConfigurationInvalid(f"{path.name} is not TOML", field="entry") from None
    if not value.keys() <= {"entry", "env"}:
        raise ConfigurationInvalid(f"{path.name} holds `entry` and `env`, nothing else", field="entry")
    env = value.get("env", {})
    if not isinstance(env, dict) or not all(isinstance(item, str) for item in env.values()):
        raise ConfigurationInvalid(f"{path.name}: env is a table of texts", field="env")
    return _argv(value.get("entry"), path.name), env


def _oci(path: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    try:
        value = json.loads(read_file(path, 1 << 20))
        process = value["process"]
        pairs = [item.partition("=")[::2] for item in process.get("env", [])]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigurationInvalid(f"{path.name} is not that of an OCI bundle", field="entry") from None
    # Its PATH is of an image that is not there; the sandbox sets its own.
    return _argv(process.get("args"), path.name), {name: text for name, text in pairs if name != "PATH"}


def _argv(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise ConfigurationInvalid(f"{name}: the entry point is a list of texts", field="entry")
    return tuple(value)
