"""What a text shows of its past: wrong decoding, markup, lost passages, lost ends."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ftfy.badness import is_bad

SHORT_WORDS = 2
_MARKUP = re.compile(
    r"&(?:amp|lt|gt|quot|nbsp|apos|#\d{2,6}|#x[0-9a-f]{2,6});"
    r"|</?(?:p|br|b|i|u|em|strong|span|div|sub|sup|li|ul|ol|table|t[dhr]|a|font|img|h[1-6])(?:\s[^<>]{0,200})?/?>"
    r"|\\u[0-9a-f]{4}|\\x[0-9a-f]{2}",
    re.IGNORECASE,
)
_HIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffd]")
_THING = r"(?:passage|figure|diagram|graph|table|chart|excerpt|picture|image|map|illustration|paragraph|extract|text)s?"
_ABSENT = re.compile(
    rf"\b(?:according to|based on|refer(?:s|ring)? to|in|from|use|using|read|see|consider) (?:the|this|these) "
    rf"(?:following |above |below |accompanying |given )?{_THING}\b"
    rf"|\b{_THING} (?:above|below|shown|provided|on the (?:left|right)|at (?:left|right))\b"
    rf"|\bthe (?:above|following|accompanying) {_THING}\b",
    re.IGNORECASE,
)
_CONTEXT_CHARACTERS = 350  # a question this long probably holds what it is about
_PAIRS = (("(", ")"), ("[", "]"), ("{", "}"), ("\u201c", "\u201d"))
_LIST_MARK = re.compile(r"(?:^|\s)\(?[a-zA-Z0-9]{1,3}\)")


def text_rules(question: str, answers: Sequence[str]) -> Iterator[str]:
    """Give the rules that an item's texts break; linear in their length."""
    everything = "\n".join((question, *answers))
    if not everything.isascii() and is_bad(everything):
        yield "mojibake"
    if _MARKUP.search(everything):
        yield "markup"
    if _HIDDEN.search(everything):
        yield "control-characters"
    if len(question) < _CONTEXT_CHARACTERS and _ABSENT.search(question):
        yield "missing-context"
    if len(question.split(maxsplit=SHORT_WORDS)) <= SHORT_WORDS:
        yield "short"
    if any(_unbalanced(text) for text in (question, *answers)):
        yield "unbalanced"


def _unbalanced(text: str) -> bool:
    if all(text.count(opening) == text.count(closing) for opening, closing in _PAIRS):
        return False
    # The half-open interval `[0, 1)` is whole, and so is the list `a) b) c)`.
    return all(
        sum(read.count(opening) for opening, _ in _PAIRS) != sum(read.count(closing) for _, closing in _PAIRS)
        for read in (text, _LIST_MARK.sub(" ", text))
    )
