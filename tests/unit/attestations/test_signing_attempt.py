"""Whatever a service does, an attempt ends in time and says what it may have left behind."""

from __future__ import annotations

import threading
import time

import pytest

from attestations.errors import ExitCode, SigningServiceFailed
from attestations.signing_attempt import LOG, TIMESTAMPS, Attempt, http_status, why


class Response:
    status_code = 503


class HTTPError(OSError):
    response = Response()


def test_what_is_done_in_time_is_returned() -> None:
    assert Attempt().within(5, lambda: 7) == 7


def test_an_error_of_the_work_is_raised_where_it_is_seen() -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        Attempt().within(5, fail)


def test_what_never_ends_is_given_up() -> None:
    never = threading.Event()
    begun = time.monotonic()

    with pytest.raises(SigningServiceFailed, match=r"certificate authority did not answer within 0\.1 s") as caught:
        Attempt().within(0.1, never.wait)

    never.set()
    assert time.monotonic() - begun < 3
    assert caught.value.exit_code is ExitCode.UNREACHABLE


def test_what_was_given_up_goes_no_further() -> None:
    attempt, resume, refused = Attempt(), threading.Event(), threading.Event()

    def work() -> None:
        resume.wait(5)
        try:
            attempt.move(LOG)
        except SigningServiceFailed:
            refused.set()

    with pytest.raises(SigningServiceFailed, match="nothing was logged"):
        attempt.within(0.1, work)
    resume.set()

    assert refused.wait(5)
    assert attempt.at != LOG


@pytest.mark.parametrize(
    ("at", "says"), [(TIMESTAMPS, "nothing was logged"), (LOG, "the log may hold an entry for this attempt")]
)
def test_only_the_log_leaves_something_behind(at: str, says: str) -> None:
    attempt = Attempt()
    attempt.move(at)

    error = attempt.failed("failed")

    assert says in error.message
    assert error.facts == {"service": at}


def test_a_cause_is_told_without_a_word_of_what_a_service_said() -> None:
    assert why(HTTPError("a secret")) == "answered HTTP 503"
    assert why(ConnectionRefusedError("a secret")) == "cannot be reached"
    assert why(ValueError("a secret")) == "gave an answer that cannot be used"


def test_a_status_is_found_behind_a_librarys_own_error() -> None:
    error = LookupError()
    error.__cause__ = HTTPError()

    assert http_status(error) == 503
    assert http_status(LookupError()) is None
