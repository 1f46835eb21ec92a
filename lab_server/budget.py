"""What an agreement still allows: reserved when something is promised, settled when it ends. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from attestations.documents.agreement import Budget
from attestations.documents.exchange import Meter, Quota, TokenBudget, Usage
from attestations.errors import BudgetExhausted


@dataclass
class BudgetBook:
    """The running totals of one engagement and what its open Promises may still use."""

    budget: Budget
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    _reserved: dict[tuple[str, int], TokenBudget] = field(default_factory=dict)

    def reserve(self, place: tuple[str, int], wanted: TokenBudget) -> Quota:
        """Set aside what one exchange may use at most and return what is left.

        Raises:
            BudgetExhausted: naming what is not enough.
        """
        left = self.left()
        if int(left.requests) < 1:
            raise BudgetExhausted("no requests are left", rule="requests")
        if int(left.input_tokens) < wanted.input_tokens:
            raise BudgetExhausted("too few input tokens are left", rule="input_tokens")
        if int(left.output_tokens) < wanted.output_tokens:
            raise BudgetExhausted("too few output tokens are left", rule="output_tokens")
        self._reserved[place] = wanted
        return self.left()

    def release(self, place: tuple[str, int]) -> None:
        """Give back a reservation that led to nothing."""
        self._reserved.pop(place, None)

    def settle(self, place: tuple[str, int], usage: Usage) -> tuple[Meter, Meter]:
        """End an exchange and return the meter before and after it."""
        before = self.meter()
        self._reserved.pop(place, None)
        self.requests += 1
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        return before, self.meter()

    def meter(self) -> Meter:
        """Return the running totals."""
        return Meter(
            requests=str(self.requests), input_tokens=str(self.input_tokens), output_tokens=str(self.output_tokens)
        )

    def committed(self) -> Meter:
        """Return the running totals with everything that open Promises may still use."""
        reserved = self._reserved.values()
        return Meter(
            requests=str(self.requests + len(self._reserved)),
            input_tokens=str(self.input_tokens + sum(item.input_tokens for item in reserved)),
            output_tokens=str(self.output_tokens + sum(item.output_tokens for item in reserved)),
        )

    def left(self) -> Quota:
        """Return what can still be promised."""
        reserved = self._reserved.values()
        return Quota(
            requests=str(max(0, int(self.budget.requests) - self.requests - len(self._reserved))),
            input_tokens=str(
                max(0, int(self.budget.input_tokens) - self.input_tokens - sum(item.input_tokens for item in reserved))
            ),
            output_tokens=str(
                max(
                    0,
                    int(self.budget.output_tokens) - self.output_tokens - sum(item.output_tokens for item in reserved),
                )
            ),
        )
