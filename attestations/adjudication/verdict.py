"""A verdict: one finding for each thing that is shown or claimed, and the exit code that follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from attestations import errors
from attestations.adjudication.evidence import SetAside
from attestations.documents.agreement import PartyRole
from attestations.errors import PRECEDENCE, ExitCode, SafeconductError, reason_of

Outcome = Literal["blamed", "cleared", "inconclusive"]

_EXIT_CODES: dict[str, ExitCode] = {
    reason_of(kind): kind.exit_code
    for kind in (getattr(errors, name) for name in errors.__all__)
    if isinstance(kind, type) and issubclass(kind, SafeconductError)
}
_ON_THE_RELAYS_WORD = {"UNANSWERED", "PROMISE_UNFULFILLED"}


@dataclass(frozen=True)
class Finding:
    """One matter: a party that broke a rule, a claim that the evidence refutes, or one it does not decide.

    `evidence` names what shows it: digests of documents, and of the notes of checkpoints.
    """

    outcome: Outcome
    role: PartyRole
    party: str
    reason: str
    sentence: str
    evidence: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the finding as plain JSON types."""
        return {
            "outcome": self.outcome,
            "role": self.role,
            "party": self.party,
            "reason": self.reason,
            "sentence": self.sentence,
            "evidence": list(self.evidence),
        }


@dataclass(frozen=True)
class Verdict:
    """Every finding, those that blame first, and what was set aside."""

    findings: tuple[Finding, ...]
    set_aside: tuple[SetAside, ...]

    @property
    def blamed(self) -> frozenset[tuple[PartyRole, str]]:
        """Who is blamed, and for what."""
        return frozenset((item.role, item.reason) for item in self.findings if item.outcome == "blamed")

    @property
    def inconclusive(self) -> bool:
        """Whether nobody is blamed and something, or everything, stays open."""
        open_ = any(item.outcome == "inconclusive" for item in self.findings)
        return not self.blamed and (open_ or not self.findings)

    @property
    def exit_code(self) -> ExitCode:
        """The blamed class that comes first in the published precedence, 70 while something is open, else 0."""
        codes = {_EXIT_CODES[reason] for _, reason in self.blamed}
        if codes:
            return next(code for code in PRECEDENCE if code in codes)
        return ExitCode.INDETERMINATE if self.inconclusive else ExitCode.OK

    def to_json(self) -> dict[str, Any]:
        """Return the whole verdict as plain JSON types."""
        return {
            "v": "safeconduct-verdict/v1",
            "exitCode": int(self.exit_code),
            "blamed": [{"role": role, "reason": reason} for role, reason in sorted(self.blamed)],
            "findings": [finding.to_json() for finding in self.findings],
            "setAside": [item._asdict() for item in self.set_aside],
            "notProven": self.not_proven(),
        }

    def lines(self) -> list[str]:
        """Return the verdict as sentences for people."""
        lines = [f"{item.outcome}: {item.sentence} [{item.reason}]" for item in self.findings]
        lines += [f"set aside: {item.what}: {item.message} [{item.reason}]" for item in self.set_aside]
        if not self.findings:
            lines.append("inconclusive: nothing here shows anything against anyone, and nothing is claimed")
        return [*lines, "", *(f"Not proven: {sentence}" for sentence in self.not_proven())]

    def not_proven(self) -> list[str]:
        """Return what the verdict must not be read as saying."""
        sentences = ["The rest of the audit is not judged here: `safeconduct verify` reads an evidence file."]
        if not self.blamed:
            sentences.append("That nobody is blamed acquits nobody: what no signature shows stays open.")
        else:
            sentences.append("Who held a key when it signed is not shown; a stolen one belongs into the trust file.")
        if any(reason in _ON_THE_RELAYS_WORD for _, reason in self.blamed):
            sentences.append("That nothing was answered is the word of the relay both sides named, not a proof.")
        return sentences
