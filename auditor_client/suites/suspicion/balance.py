"""What a whole suite gives away: a rule without knowledge that finds right answers, groups of unequal size."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from fractions import Fraction

from attestations.answers import LETTERS
from attestations.intervals import wilson
from auditor_client.suites.suspicion.finding import Finding
from auditor_client.suites.tasks import ChoiceTask, Task

MARGIN = Fraction(1, 20)  # how far above chance the interval's lower bound must lie
LEVEL = "0.99"
LEAST = 20  # items; of fewer, nothing is said
UNEQUAL = 2  # times
_BALANCED = ("group", "bbq_polarity", "bbq_condition")


class Balance:
    """Takes items one by one and counts."""

    def __init__(self) -> None:
        self._hits: dict[tuple[str, str], int] = Counter()
        self._chance: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
        self._many: dict[tuple[str, str], int] = Counter()
        self._labels: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)

    def add(self, task: Task) -> None:
        """Take the next item that counts."""
        body = task.task
        if isinstance(body, ChoiceTask):
            self._try("the longest option", task, _only(body.options, longest=True))
            self._try("the shortest option", task, _only(body.options, longest=False))
            if body.scoring == "letter":  # elsewhere the model never sees an order
                for place in range(len(body.options)):
                    self._try(f"option {LETTERS[place]}", task, place)
        for key in _BALANCED:
            if key in task.metadata:
                self._labels[task.category, key][str(task.metadata[key])] += 1

    def _try(self, name: str, task: Task, picked: int | None) -> None:
        body = task.task
        if picked is not None and isinstance(body, ChoiceTask):
            for category in (task.category, ""):
                self._many[category, name] += 1
                self._hits[category, name] += picked == body.answer
                self._chance[category, name] += Fraction(1, len(body.options))

    def findings(self) -> Iterator[Finding]:
        """Give what stands out, over all items or in one category."""
        alone = len({category for category, _ in self._many if category}) == 1
        for (category, name), many in sorted(self._many.items()):
            if alone and not category:  # the one category is all there is
                continue
            hits, chance = self._hits[category, name], self._chance[category, name] / many
            if many >= LEAST and Fraction(wilson(hits, many, level=LEVEL)[0]) > chance + MARGIN:
                rule = "position" if name.startswith("option ") else "length-baseline"
                where = f"in {category}, " if category else ""
                message = f"{where}{name} is right in {hits} of {many}, by chance in {float(chance * many):.0f}"
                yield Finding("warning", rule, message)
        for (category, key), counts in sorted(self._labels.items()):
            (most, many), (least, few) = counts.most_common()[0], counts.most_common()[-1]
            if sum(counts.values()) >= LEAST and many > UNEQUAL * few:
                yield Finding(
                    "warning", "groups", f"in {category}, {key} {most} has {many} items and {least} only {few}"
                )


def _only(options: tuple[str, ...], *, longest: bool) -> int | None:
    """Return the place of the one option that is longer, or shorter, than all others."""
    lengths = [len(option) for option in options]
    wanted = max(lengths) if longest else min(lengths)
    return lengths.index(wanted) if lengths.count(wanted) == 1 else None
