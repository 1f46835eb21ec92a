"""What a scaffold reads off an answer: the part that is submitted, and which answers agree. Targets play no part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from fractions import Fraction

from attestations.answers import NORMALISATIONS, chosen_letter, is_refusal, last_number, normalised, without_thinking
from attestations.documents.dialogue import ChatResult, CountResult, ScoreResult
from attestations.formats import Format, read_choice

MAX_CHARACTERS = 20_000

Result = ChatResult | ScoreResult | CountResult


def after_marker(text: str, marker: str) -> str:
    """Return what follows the last marker of a text, or the whole text where there is none or nothing follows."""
    read = without_thinking(text[:MAX_CHARACTERS])
    if read is None:
        return text  # cut off within its thoughts: the grader says so
    _, found, rest = read.rpartition(marker)
    rest = rest.strip().strip("*_").strip()
    return rest if found and rest else read


def ballot(
    result: Result, *, task_type: str, options: Sequence[str], scoring: str | None, form: Format | None = None
) -> Hashable:
    """Return what an answer votes for, or None where it abstains: unreadable, empty, a refusal, a tie.

    `form` is the format a choice was laid out in, where it is not the committed one.
    """
    if isinstance(result, ScoreResult):
        return likeliest(result, by_token=scoring == "normalised")
    if not isinstance(result, ChatResult):
        return None
    text = without_thinking(result.content[:MAX_CHARACTERS])
    if text is None or not text.strip() or is_refusal(text):
        return None
    if task_type == "choice":
        return chosen_letter(text, options) if form is None else read_choice(text, options, form)
    if task_type == "numeric":
        return last_number(text)
    return normalised(text, NORMALISATIONS) or None


def majority(ballots: Sequence[Hashable]) -> int:
    """Return the number of the first answer of those that most agree on; 0 where all abstain."""
    counted = Counter(vote for vote in ballots if vote is not None)
    if not counted:
        return 0
    most = max(counted.values())
    return next(number for number, vote in enumerate(ballots) if vote is not None and counted[vote] == most)


def likeliest(result: ScoreResult, *, by_token: bool) -> int | None:
    """Return the number of the continuation with the highest log-probability, or None at a tie or without any."""
    scores = {
        number: Fraction(item.logprob) / (item.tokens if by_token else 1)
        for number, item in enumerate(result.scores)
        if item.tokens
    }
    if not scores:
        return None
    best = max(scores.values())
    found = [number for number, score in scores.items() if score == best]
    return found[0] if len(found) == 1 else None
