"""Steps 10 to 13: what the file opens, the schedule, the figures and the controls, as far as this stage shows them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from attestations.commitments import ClassKey
from attestations.container import Container
from attestations.deviations import headline_of
from attestations.documents.engagement import PreRegistration
from attestations.errors import EvidenceMissing, ExitCode
from attestations.predicate import AuditPredicate
from attestations.verify import elicitation, figures
from attestations.verify.deviating import check_deviations, deviations_in
from attestations.verify.escrow_figures import with_escrowed
from attestations.verify.exchanges import ExchangePass
from attestations.verify.formats import check_formats, check_laid_out
from attestations.verify.opened import Content, nothing_open, open_content
from attestations.verify.report import Status
from attestations.verify.schedule import Schedule, check_schedule
from attestations.verify.steps import Attempts, Step
from attestations.verify.transcript import Transcript
from attestations.verify.transcripts import check_transcripts


def content_steps(
    container: Container,
    log: Transcript,
    predicate: AuditPredicate | None,
    attempts: Attempts,
    escrowed: Mapping[str, ClassKey] = MappingProxyType({}),
) -> Content | None:
    """Make the steps and return what is open, or None where it does not hold; `escrowed` are keys holders released."""
    if log.registration is not None and log.manifest is None and log.ledger.aborted is not None:
        return _given_up(container, log.registration, predicate, attempts)
    if log.registration is None or log.manifest is None:
        ground = "no registration or package manifest was found in the log"
        attempts.missing(ground, Step.OPENED, Step.SCHEDULE, Step.FIGURES, Step.CONTROLS)
        return None
    content = attempts.attempt(Step.OPENED, lambda: open_content(container, log, escrowed))
    if content is None:
        attempts.missing("what is sealed could not be checked", Step.SCHEDULE, Step.FIGURES, Step.CONTROLS)
        return None
    names = ", ".join((*content.classes, *(f"{name} in part" for name in content.views))) or "none yet"
    attempts.passed(Step.OPENED, f"sealed packages match the signed manifest; opened: {names}")
    for content_class, viewed in content.views.items():
        attempts.passed(Step.OPENED, viewed.counted.text(content_class))
    attempts.report.redactions = {name: viewed.counted.to_json() for name, viewed in content.views.items()}
    schedule = _schedule(content, log, attempts)
    _transcripts(content, log.exchanges, schedule, attempts)
    _elicitation(content, log, predicate, schedule, attempts)
    if predicate is None:
        attempts.missing("the attestation could not be read", Step.FIGURES, Step.CONTROLS)
    else:
        plan = None if content.aggregate is None else content.aggregate.plan
        headline = None if plan is None else headline_of(plan, deviations_in(log))
        as_released = with_escrowed(predicate, content, headline)
        _figures(content, as_released, log, attempts)
        if as_released is not predicate:
            attempts.report.figures = as_released.results
    return content


def _given_up(
    container: Container, registration: PreRegistration, predicate: AuditPredicate | None, attempts: Attempts
) -> Content | None:
    content = attempts.attempt(Step.OPENED, lambda: nothing_open(container, registration))
    for step in (Step.SCHEDULE, Step.FIGURES, Step.CONTROLS):
        attempts.skipped(step, Status.NOT_APPLICABLE, "the engagement was given up before anything was sealed")
    if content is not None:
        attempts.passed(Step.OPENED, "nothing was sealed: the engagement was given up")
    if predicate is not None and predicate.results:
        attempts.failed(Step.FIGURES, EvidenceMissing("figures are claimed of an engagement that was given up"))
    return content


def _schedule(content: Content, log: Transcript, attempts: Attempts) -> Schedule | None:
    if "C5" not in content.keys:
        why = "tasks are open in part only" if "C5" in content.views else "tasks are sealed until S4"
        attempts.skipped(Step.SCHEDULE, Status.NOT_AT_THIS_STAGE, why)
        return None
    if Step.EXCHANGES in log.errors:
        attempts.missing("the exchanges themselves do not hold", Step.SCHEDULE)
        return None
    schedule = attempts.attempt(
        Step.SCHEDULE, lambda: check_schedule(content, log.exchanges.tally, log.drawing, log.test_begins)
    )
    if schedule is not None:
        attempts.passed(
            Step.SCHEDULE,
            f"{len(content.tasks.kinds)} tasks, every exchange belongs to one of them" + _apart(schedule) + _drawn(log),
        )
        attempts.report.exploratory = dict(schedule.auxiliary)
    return schedule


def _apart(schedule: Schedule) -> str:
    if not schedule.auxiliary:
        return ""
    counted = ", ".join(f"{count} {purpose}" for purpose, count in schedule.auxiliary.items())
    return f" or is exploratory and feeds no figure ({counted})"


def _drawn(log: Transcript) -> str:
    rule = log.drawing.rule
    return "" if rule is None else f"; the {rule.drawn} of {rule.bank} scored ones were drawn, not chosen"


def _transcripts(content: Content, exchanges: ExchangePass, schedule: Schedule | None, attempts: Attempts) -> None:
    if content.transcripts is None:
        return
    errors, narrowed = check_transcripts(content, exchanges, schedule)
    for step, error in errors.items():
        # A transcript that is not what was committed to is content, wherever it was noticed.
        bound = error.exit_code is ExitCode.COMMITMENT_MISMATCH
        attempts.failed(Step.OPENED if bound else step, error)
    if "C5" not in content.keys:
        attempts.skipped(Step.FIGURES, Status.NOT_AT_THIS_STAGE, "transcripts are graded again once tasks are open")
    elif schedule is None:
        attempts.missing("transcripts cannot be graded without their schedule", Step.FIGURES)
    elif not errors:
        said = f"graded again from {exchanges.tally.answers} opened transcripts"
        # Allowed, and signed by the lab; but a model that was given less could do less.
        less = f"; {narrowed} sandboxes gave less than their task commits to" if narrowed else ""
        attempts.passed(Step.FIGURES, said + less)


def _elicitation(
    content: Content, log: Transcript, predicate: AuditPredicate | None, schedule: Schedule | None, attempts: Attempts
) -> None:
    aggregate, claim = content.aggregate, None if predicate is None else predicate.elicitation
    if aggregate is None:
        return
    plan, course = aggregate.plan, log.course
    attempts.attempt(Step.FIGURES, lambda: elicitation.check_plan(plan, content.registration, course))
    attempts.attempt(Step.FIGURES, lambda: check_formats(plan, content.registration))
    if "C5" in content.keys:
        attempts.attempt(Step.SCHEDULE, lambda: check_laid_out(content, plan))
    if predicate is None or claim is None:
        return
    classes = elicitation.shown_classes(predicate)
    if "C2" not in classes:
        return
    attempts.attempt(Step.FIGURES, lambda: elicitation.check_sealed(claim, aggregate.elicitation))
    attempts.attempt(
        Step.FIGURES,
        lambda: elicitation.check_arithmetic(claim, plan, content.running, classes),
        f"the best arm on DEV is {claim.best}; each gap follows from its own counts",
    )
    rows = content.rows
    if rows is not None:
        attempts.attempt(Step.FIGURES, lambda: elicitation.check_recomputed(claim, plan, rows, course))
    if schedule is not None:
        attempts.attempt(Step.SCHEDULE, lambda: elicitation.check_cost(claim, schedule, log.exchanges.tally))


def _figures(content: Content, predicate: AuditPredicate, log: Transcript, attempts: Attempts) -> None:
    aggregate, registration = content.aggregate, content.registration
    if aggregate is None:
        for step in (Step.FIGURES, Step.CONTROLS):
            attempts.skipped(step, Status.NOT_AT_THIS_STAGE, "figures are sealed until S2")
        if predicate.results or predicate.measures or predicate.headline:
            attempts.failed(Step.FIGURES, EvidenceMissing("figures are claimed but their plan is not opened"))
        return
    plan = aggregate.plan
    attempts.attempt(
        Step.FIGURES,
        lambda: figures.check_published(predicate, aggregate),
        "the published figures are those sealed before any release",
    )
    attempts.attempt(
        Step.FIGURES,
        lambda: figures.check_arithmetic(predicate, plan, registration, content.running),
        "every figure follows from its own counts under the registered plan",
    )
    attempts.attempt(Step.FIGURES, lambda: check_deviations(predicate, plan, log))
    rows = content.rows
    if rows is None:
        attempts.skipped(Step.FIGURES, Status.NOT_AT_THIS_STAGE, "recomputation needs the grades, at S3")
    else:
        attempts.attempt(
            Step.FIGURES,
            lambda: figures.check_recomputed(predicate, plan, content.running, rows),
            f"recomputed from {len(rows)} opened grades",
        )
    attempts.attempt(
        Step.CONTROLS,
        lambda: figures.check_controls(predicate, plan),
        "no verdict rests on failed controls or unanswered items",
    )
