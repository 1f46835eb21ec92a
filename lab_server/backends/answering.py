"""What every backend's answer begins with: what cannot be done is refused, and the whole must come in time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from attestations.documents.dialogue import CountResult, Sampling
from attestations.documents.exchange import Usage
from lab_server.backends.deadline import within
from lab_server.model_port import Capabilities, Delta, Finished, Request, require_able

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator


class Answering(ABC):
    """The `answer` of a `ModelBackend` over one that knows neither deadlines nor what it cannot do."""

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this backend can do."""

    def answer(
        self, request: Request, sampling: Sampling, *, seed: int, deadline_seconds: float
    ) -> AsyncIterator[Delta | Finished]:
        """See `ModelBackend.answer`; waiting for the engine counts against the deadline."""
        require_able(self.capabilities, request, sampling)
        return within(self._answer(request, sampling, seed), deadline_seconds)

    @abstractmethod
    def _answer(self, request: Request, sampling: Sampling, seed: int) -> AsyncGenerator[Delta | Finished, None]: ...


def counted(tokens: int, *, model: str | None) -> Finished:
    """Return the answer to a `CountRequest`; what was counted is metered as input."""
    usage = Usage(input_tokens=tokens, cached_tokens=0, output_tokens=0, reasoning_tokens=0)
    return Finished(CountResult(tokens=tokens), usage, "stop", actual_model=model)
