"""What was stated of one fine-tune job over time, where several sessions asked about it at once.

A statement is made somewhere between the Promise and the Record of its exchange. Two exchanges that overlapped in
the log may therefore hold their statements in either order, and no honest lab can choose which; where one was
promised after the other was recorded, its statement must be the later one (`docs/spec/finetuning.md` rule 3).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import itemgetter

from attestations.documents.finetuning import ENDED, TrainingStatement

_SAME = ("base", "base_manifest", "demonstrations", "count", "recipe", "planned_steps", "planned_tokens")
_INDEX = itemgetter(0)
_Stood = tuple[int, int, int]  # resumed, steps, tokens


class JobHistory:
    """Grows with the statements about one job, in whatever order they are read.

    Only statements that say something new are kept, so asking a thousand times how a job stands costs no memory.
    `started` is the leaf of the Record that began the job, the only one that is charged.
    """

    def __init__(self, first: TrainingStatement, *, started: int) -> None:
        self.furthest, self.started = first, started
        self._reached: list[tuple[int, TrainingStatement]] = []  # by Record: the furthest that had been stated by then
        self._left: list[tuple[int, TrainingStatement]] = []  # by Promise: the least far that was stated from then on
        self._stood: list[_Stood] = []  # every place at which it is stated to have run, the least far first

    def fits(self, now: TrainingStatement, *, promised: int, recorded: int) -> bool:
        """Tell whether a statement can be true beside all others; both places are log indices."""
        if not follows(self.furthest, now) and not follows(now, self.furthest):
            return False
        if now.state not in ENDED and not self._in_line(_stood(now)):
            return False
        before = bisect_left(self._reached, promised, key=_INDEX)
        if before and not follows(self._reached[before - 1][1], now):
            return False
        after = bisect_right(self._left, recorded, key=_INDEX)
        return after == len(self._left) or follows(now, self._left[after][1])

    def take(self, now: TrainingStatement, *, promised: int, recorded: int) -> None:
        """Take a statement that fits."""
        if now.state not in ENDED:
            at = bisect_left(self._stood, _stood(now))
            if self._stood[at : at + 1] != [_stood(now)]:
                self._stood.insert(at, _stood(now))
        if follows(self.furthest, now):
            self.furthest = now
        place = bisect_right(self._reached, recorded, key=_INDEX)
        if not place or not follows(now, self._reached[place - 1][1]):
            end = place
            while end < len(self._reached) and follows(self._reached[end][1], now):
                end += 1
            self._reached[place:end] = [(recorded, now)]
        place = bisect_left(self._left, promised, key=_INDEX)
        if place == len(self._left) or not follows(self._left[place][1], now):
            begin = place
            while begin and follows(now, self._left[begin - 1][1]):
                begin -= 1
            self._left[begin:place] = [(promised, now)]

    def _in_line(self, now: _Stood) -> bool:
        # Overlapping statements have no order of their own, and yet one must be possible: it is enough to look at the
        # two beside it, as those before and after them are in line already.
        at = bisect_left(self._stood, now)
        before, after = self._stood[max(0, at - 1) : at], self._stood[at : at + 1]
        return all(_goes_on(one, now) for one in before) and all(_goes_on(now, one) for one in after)


def follows(before: TrainingStatement, now: TrainingStatement) -> bool:
    """Tell whether a job that stood as `before` can stand as `now` at the same time or later.

    What a worker knew when it died is lost with it, so `ABORTED_CRASH` may tell of fewer steps than were stated.
    """
    if any(getattr(before, field) != getattr(now, field) for field in _SAME):
        return False
    if before.state in ENDED:
        return before == now
    return now.state == "ABORTED_CRASH" or _goes_on(_stood(before), _stood(now))


def _goes_on(before: _Stood, now: _Stood) -> bool:
    if now[0] != before[0]:
        return now[0] > before[0]
    return now[1] >= before[1] and now[2] >= before[2]


def _stood(statement: TrainingStatement) -> _Stood:
    return statement.resumed, statement.steps, int(statement.tokens)
