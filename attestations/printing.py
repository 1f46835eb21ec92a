"""A verification report for people: integrity, figures, policy and assurance apart, and what is not proven last."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence
from decimal import Decimal

from rich.console import Console
from rich.text import Text

from attestations.elicitation.claims import ElicitationClaim
from attestations.errors import ExitCode
from attestations.plain import plain
from attestations.policy.words import recipient_words
from attestations.predicate import Result
from attestations.reading import NO_SWING, Swing, read_gap, read_swings
from attestations.verify.findings import Found
from attestations.verify.report import Check, Report, Status
from attestations.verify.steps import STEP_NAMES, Step

SECTIONS = (
    ("Integrity: who signed what", (0, 1, 2, 3, 4, 5, 6, 7, 10)),
    ("Model and runtime", (8, 9, 14)),
    ("Figures", (11, 12, 13)),
    ("Disclosure policy", (15,)),
    ("Assurance", (16, 17)),
    ("Public identity, beside the evidence", (18,)),
)
_MARKS = {
    Status.PASS: ("✓", "green"),
    Status.FAIL: ("✗", "bold red"),
    Status.NOT_APPLICABLE: ("-", "dim"),
    Status.NOT_AT_THIS_STAGE: ("…", "yellow"),
    Status.MISSING: ("?", "bold yellow"),
}
_PLAIN = {
    Status.PASS: "+",
    Status.FAIL: "X",
    Status.NOT_APPLICABLE: "-",
    Status.NOT_AT_THIS_STAGE: "~",
    Status.MISSING: "?",
}
_COUNTED = {
    Status.PASS: "hold",
    Status.FAIL: "do not hold",
    Status.NOT_AT_THIS_STAGE: "cannot be known at this stage",
    Status.MISSING: "lack what would decide them",
    Status.NOT_APPLICABLE: "do not apply",
}
_NO_GAP = "uninterpretable"
_INDENT, _NARROWEST = 42, 20
_MEANINGS = {
    ExitCode.OK: "every check that can be made at this stage holds",
    ExitCode.MALFORMED: "the file is damaged or not in its one form",
    ExitCode.UNSUPPORTED_VERSION: "the file is of a version this program does not know",
    ExitCode.SIGNATURE_INVALID: "a signature does not hold",
    ExitCode.ROLE_OR_TRUST_MISSING: "a signature by someone you trust is missing",
    ExitCode.KEY_INVALID_AT_TIME: "a key was revoked or not valid when it signed",
    ExitCode.COMMITMENT_MISMATCH: "something shown is not what was committed to",
    ExitCode.PROOF_INVALID: "the log does not hold together",
    ExitCode.EQUIVOCATION_OR_ROLLBACK: "two accounts of one event, or a log that went backwards",
    ExitCode.INCOMPLETE: "something that took place is missing",
    ExitCode.WITNESS_QUORUM_UNMET: "too few witnesses",
    ExitCode.PREREGISTRATION_VIOLATED: "what was used is not what was registered, or was registered too late",
    ExitCode.SCORE_MISMATCH: "a published figure does not follow from the evidence",
    ExitCode.CONTROLS_FAILED: "a claim is made that the run's own controls do not allow",
    ExitCode.MODEL_IDENTITY_INCONSISTENT: "the evidence is not about one model",
    ExitCode.RUNTIME_EVIDENCE_INVALID: "the runtime evidence does not hold",
    ExitCode.DISCLOSURE_BREACH: "something was disclosed too early or to the wrong recipient",
    ExitCode.DISCLOSURE_OVERDUE: "something that is owed has not been disclosed",
    ExitCode.ASSURANCE_OVERCLAIMED: "more assurance is claimed than the evidence gives",
    ExitCode.POLICY_NOT_MET: "the evidence holds but does not reach what you require",
    ExitCode.INDETERMINATE: "what would decide a check is not in the file",
}
_BESIDE = "the evidence holds, the identity-based signature beside it does not"


class _Terminal(Console):
    """A console whose reader may leave: what the report says is still the exit code."""

    def on_broken_pipe(self) -> None:
        """Leave it to the command; Rich would end the program with a code of its own."""
        raise BrokenPipeError


def print_report(report: Report, name: str) -> None:
    """Print a report to the terminal."""
    console = _Terminal(highlight=False, soft_wrap=True)
    about = f"  stage {report.stage or 'unknown'}, for {report.recipient or 'unknown'}"
    console.print(Text.assemble((name, "bold"), about))
    for title, steps in SECTIONS:
        checks = [check for step in steps for check in report.checks if check.step == step]
        if checks:
            console.print(f"\n[bold]{title}[/bold]")
            _print_checks(console, checks)
    _print_counts(console, report.checks)
    _print_claims(console, report)
    if report.limitations:
        console.print("\n[bold]Not proven[/bold]")
        for line in report.limitations:
            console.print(f"  · {plain(line)}", markup=False)
    code = report.exit_code
    style = "green" if code is ExitCode.OK else "bold red"
    console.print()
    meaning = _BESIDE if _only_beside(report) else _MEANINGS.get(code, code.name.lower())
    console.print(Text(f"{meaning} (exit code {int(code)})", style=style))


def print_finding(found: Found) -> None:
    """Print a flaw report that a log has notice of, and what that does not prove."""
    console = _Terminal(highlight=False, soft_wrap=True)
    report = found.report
    console.print(Text.assemble((plain(report.title), "bold"), f"  {report.severity}, finding {report.id}"))
    console.print(f"  signed by {plain(found.auditor)}, about {plain(report.variant)}", markup=False)
    for logged in found.notices:
        to = ", ".join(recipient_words(recipient) for recipient in logged.document.to)
        console.print(f"  leaf {logged.leaf} of the log, {logged.document.stated_at}: for {to}", markup=False)
    texts = (report.description, report.impact, report.prevalence, report.reproduction, report.mitigation)
    for title, text in zip(("What", "Impact", "Prevalence", "How to see it", "What may help"), texts, strict=True):
        if text:
            console.print(f"\n[bold]{title}[/bold]")
            console.print("\n".join(f"  {plain(line)}" for line in text.splitlines()), markup=False)
    if report.tasks:
        console.print("\n[bold]Tasks that show it[/bold]")
        console.print(f"  {', '.join(str(task) for task in report.tasks)}", markup=False)
    console.print("\n[bold]Not proven[/bold]")
    console.print("  · That the flaw is there: this is the auditor's word, signed and dated.", markup=False)
    console.print("  · That nobody else has the report: the log holds to whom the auditor says it went.", markup=False)


def _only_beside(report: Report) -> bool:
    """Whether all that fails is a signature that the evidence does not need."""
    failing = {check.step for check in report.checks if check.exit_code is not ExitCode.OK}
    return failing == {Step.PUBLICATION}


def _print_checks(console: Console, checks: list[Check]) -> None:
    last = None
    for check in checks:
        name = "" if check.step == last else f"{check.step:>2} {STEP_NAMES.get(check.step, check.name)}"
        last = check.step
        detail = check.detail if check.reason is None else f"{check.detail} [{check.reason}]"
        mark, style = _mark(console, check.status)
        first, *rest = textwrap.wrap(plain(detail), max(_NARROWEST, console.width - _INDENT)) or [""]
        line = Text.assemble((f"{mark:>3}", style), f" {name:<37} ")
        line.append(first, style="" if check.status is Status.PASS else style)
        console.print(line)
        for more in rest:
            console.print(Text(" " * _INDENT + more, style="" if check.status is Status.PASS else style))


def _print_counts(console: Console, checks: Sequence[Check]) -> None:
    """Say how many of each there are; it explains the marks as well."""
    console.print("\n[bold]In all[/bold]")
    for status, meaning in _COUNTED.items():
        mark, style = _mark(console, status)
        count = sum(check.status is status for check in checks)
        console.print(Text.assemble((f"{mark:>3}", style), f" {count:>2} {meaning}"))


def _mark(console: Console, status: Status) -> tuple[str, str]:
    mark, style = _MARKS[status]
    try:
        mark.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return _PLAIN[status], style
    return mark, style


def _print_claims(console: Console, report: Report) -> None:
    if report.assurance is not None:
        levels = " ".join(report.assurance.model_dump().values())
        console.print(f"\n[bold]Derived assurance[/bold]  {levels}")
        console.print(
            f"  lab acknowledged the transcript facts: {'yes' if report.lab_acknowledged else 'no'}", markup=False
        )
    predicate = report.predicate
    if predicate is not None and report.holds:
        days = predicate.transcript.effective_access_business_days
        console.print(f"  effective access: {days} business days", markup=False)
    results = report.figures or (() if predicate is None else predicate.results)
    if not results:
        return
    # Figures whose checks failed are not repeated as if they were facts.
    if not report.holds:
        why = _BESIDE if _only_beside(report) else "the evidence does not hold"
        console.print(f"\n[bold]Published figures[/bold]  not shown: {why}")
        return
    level = f"{Decimal(results[0].level) * 100:.0f}"
    console.print(f"\n[bold]Published figures[/bold]  (correct of all scored items; {level} % Wilson interval)")
    arms = len({result.arm for result in results}) > 1
    names = [f"{result.id} {result.arm}" if arms else result.id for result in results]
    width = max(len(name) for name in names)
    for name, result in zip(names, results, strict=True):
        # A share of answers below one is said at once: unanswered is not incapable.
        answered = "" if Decimal(result.answered) == 1 else f" (gradable answers: {result.answered})"
        figure = f"{result.value} [{result.interval[0]}, {result.interval[1]}]"
        console.print(
            f"  {name:<{width}}  {figure}  n={result.n}  {result.verdict}{answered}", markup=False, soft_wrap=True
        )
    if predicate is None:
        return
    swings = read_swings(predicate.measures)
    for swing in swings:
        _print_swing(console, swing)
    if predicate.elicitation is not None:
        shown = {name for swing in swings if swing.usable for name, *_ in swing.shares}
        _print_gaps(console, predicate.elicitation, shown, results)


def _print_swing(console: Console, swing: Swing) -> None:
    """Show how far the layout of the same tasks moves their share of correct answers."""
    if not swing.usable:
        console.print(f"\n[bold]Formats[/bold]  {swing.name} {NO_SWING}", soft_wrap=True)
        return
    parts = swing.measure.parts
    console.print(
        f"\n[bold]Formats[/bold]  ({swing.name} {swing.measure.value}: from {parts['min']} to {parts['max']}, mean "
        f"{parts['mean']} over {swing.measure.n})",
        soft_wrap=True,
    )
    width = max(len(item.name) for item in swing.shares)
    for item in swing.shares:
        answered = "" if Decimal(item.answered) == 1 else f" (gradable answers: {item.answered})"
        console.print(f"  {item.name:<{width}}  {item.correct}{answered}", markup=False, soft_wrap=True)


def _print_gaps(console: Console, claim: ElicitationClaim, formats: Collection[str], results: Sequence[Result]) -> None:
    """Show how much more each arm found than the model as shipped, over the same tasks.

    Of formats, whose shares stand above, only the best arm's gap is shown.
    """
    gaps = [gap for gap in claim.gaps if gap.arm not in formats or gap.arm == claim.best]
    if not gaps:
        return
    console.print(f"\n[bold]Elicitation gap[/bold]  (arm minus as_shipped, paired; best on DEV: {claim.best})")
    width = max(len(f"{gap.id} {gap.arm}") for gap in gaps)
    spent = {arm.id: arm.spent for arm in claim.arms}
    for gap in gaps:
        name, cost = f"{gap.id} {gap.arm}", spent.get(gap.arm)
        used = "" if cost is None else f"  {cost.exchanges} exchanges, {cost.output_tokens} tokens written"
        reading = read_gap(gap, results)
        figure = f"{Decimal(gap.value):+} [{gap.interval[0]}, {gap.interval[1]}]" if reading.usable else _NO_GAP
        used += "" if reading.units is None else f"  too narrow: {reading.units} units"
        console.print(f"  {name:<{width}}  {figure}  n={gap.n}{used}", markup=False, soft_wrap=True)
