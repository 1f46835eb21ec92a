"""Reads a language model into PyTorch from a GGUF file or from a folder of safetensors, without a network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attestations.errors import FileUnusable
from lab_server.torch_models.text import TextSide

MAX_JSON_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, repr=False)
class LoadedModel:
    """A model in evaluation mode at 32 bits; `from_gguf` tells in which form its adapters are served."""

    model: Any  # transformers.PreTrainedModel
    text: TextSide
    context_tokens: int
    from_gguf: bool


def load_model(path: Path) -> LoadedModel:
    """Return the model at `path`.

    Raises:
        FileUnusable: it cannot be read, or is of an architecture this cannot load.
    """
    if path.is_dir():
        loaded = _from_folder(path)
    else:
        from lab_server.torch_models.gguf_model import load_gguf  # noqa: PLC0415 - another form, another library

        model, text, context = load_gguf(path)
        loaded = LoadedModel(model, text, context, from_gguf=True)
    _own(loaded.model)
    return loaded


def _own(model: Any) -> None:
    """Move every value into memory that PyTorch has laid out.

    Matrix products round differently with the alignment of their operands, and that of a file's bytes in memory is
    chance: without this the same seed would not always make the same adapter.
    """
    for value in (*model.parameters(), *model.buffers()):
        value.data = value.data.clone()


def _from_folder(path: Path) -> LoadedModel:
    import transformers  # noqa: PLC0415 - takes seconds

    transformers.utils.logging.disable_progress_bar()
    try:
        text = read_text_side(path)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            path, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype="float32"
        )
    except (OSError, ValueError, KeyError):
        raise FileUnusable("the model's folder cannot be loaded", file=path.name) from None
    context = int(getattr(model.config, "max_position_embeddings", 0) or 2048)
    return LoadedModel(model.eval(), text, context, from_gguf=False)


def read_text_side(path: Path) -> TextSide:
    """Return the text side of a model's folder.

    Raises:
        FileUnusable: its tokenizer is missing or of an unknown form.
    """
    import tokenizers  # noqa: PLC0415 - needed only here

    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
    except Exception:  # noqa: BLE001 - the library raises bare exceptions
        raise FileUnusable("the model's tokenizer cannot be read", file="tokenizer.json") from None
    config = _json(path / "tokenizer_config.json")
    end = _token(config.get("eos_token"))
    number = None if end is None else tokenizer.token_to_id(end)
    if end is None or number is None:
        raise FileUnusable("the model's tokenizer names no token that ends an answer", file="tokenizer_config.json")
    beside = path / "chat_template.jinja"
    template = beside.read_text(encoding="utf-8") if beside.is_file() else config.get("chat_template")
    return TextSide(
        tokenizer, template if isinstance(template, str) else "", number, end, _token(config.get("bos_token")) or ""
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise FileUnusable("a file of the model is larger than it may be", file=path.name)
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise FileUnusable("a file of the model cannot be read", file=path.name) from None
    if not isinstance(value, dict):
        raise FileUnusable("a file of the model is not in its form", file=path.name)
    return value


def _token(value: object) -> str | None:
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None
