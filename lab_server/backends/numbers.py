"""Numbers from a model's server as the decimal strings that documents hold."""

from __future__ import annotations

import math

from lab_server.model_port import backend_failed

LOWEST_LOGPROB = -9999.0  # llama.cpp says -3.4e38 for probability zero; no real token comes near this
_ROUNDING = 0.001  # engines compute in 32 bits; the log of a certainty may come out a hair above zero


def logprob_of(value: object) -> float:
    """Return a log-probability from foreign JSON, clamped to `LOWEST_LOGPROB`.

    Raises:
        BackendFailed: code `malformed`, when it is no number or above zero by more than rounding.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value > _ROUNDING:
        raise backend_failed("malformed", "the model's server gave a log-probability that is none")
    return max(min(float(value), 0.0), LOWEST_LOGPROB)


def decimal(value: float) -> str:
    """Return `value` with at most 6 decimals, without trailing zeros or a negative zero."""
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def count_of(value: object) -> int:
    """Return a token count from foreign JSON; what is missing or no count is 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else 0
