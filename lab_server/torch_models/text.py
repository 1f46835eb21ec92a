"""A model's text side: its tokenizer, its chat template and the token that ends an answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from attestations.errors import ScopeExceeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attestations.documents.dialogue import Message


@dataclass(frozen=True, repr=False)
class TextSide:
    """What turns text into tokens and back; `template` is empty where the model has none."""

    tokenizer: Any  # tokenizers.Tokenizer
    template: str
    end: int  # the token that ends an answer
    end_text: str
    begin_text: str = ""

    def encode(self, text: str) -> list[int]:
        """Return the tokens of `text`; control tokens written in it count as such."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, without control tokens."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def prompt(self, messages: Sequence[Message]) -> str:
        """Return a conversation as the model expects it, up to the start of the assistant's turn.

        Raises:
            ScopeExceeded: the model has no chat template, or the template refuses the conversation.
        """
        if not self.template:
            raise ScopeExceeded("the model has no chat template", feature="chat")
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            text: str = _compiled(self.template).render(
                messages=turns, add_generation_prompt=True, eos_token=self.end_text, bos_token=self.begin_text
            )
        except (TemplateError, TypeError, ValueError):
            raise ScopeExceeded("the model's chat template refuses the conversation", feature="chat") from None
        return text


def _compiled(template: str) -> Any:
    # As transformers renders templates; a template is a stranger's program, hence the sandbox.
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = _refuse
    return environment.from_string(template)


def _refuse(message: str) -> None:
    raise TemplateError(message)
