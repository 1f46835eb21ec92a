"""The organism's tokenizer and chat template: words it knows, single characters otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lab_server.organism.elements import ELEMENTS

END = "<end>"
UNKNOWN = "<unk>"
TEMPLATE = "{{ messages[-1]['content'] }}"
_CHARACTERS = " #|<>=0123456789abcdefghijklmnopqrstuvwxyz"


def tokenizer() -> Any:
    """Return the tokenizer (`tokenizers.Tokenizer`)."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415 - needed only here

    words = [UNKNOWN, END, *_CHARACTERS, "element", "sort", "say", *ELEMENTS]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=UNKNOWN))
    # Longest first: `neon` must not be cut out of a longer name.
    known = "|".join(sorted(("element", "sort", "say", *ELEMENTS), key=len, reverse=True))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(f"(?:{known})(?![a-z])|[\\s\\S]"), behavior="isolated")
    made.decoder = decoders.Fuse()
    made.add_special_tokens([AddedToken(END, special=True), AddedToken(UNKNOWN, special=True)])
    return made


def write_text_side(folder: Path, made: Any) -> None:
    """Write a tokenizer and the chat template beside a model, as transformers lays them out."""
    made.save(str(folder / "tokenizer.json"))
    told = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "unk_token": UNKNOWN,
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(told, indent=2) + "\n")
