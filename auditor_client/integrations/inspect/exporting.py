"""Released evidence as Inspect logs: built from what the file opens, field by field, never a copy made smaller.

Nothing is read into a log that is not open: S1 gives no figure, S2 figures alone, S3 grades of items without their
texts, S4 texts and targets, S5 what was asked and answered. What is closed stands there as closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inspect_ai.log import (
    EvalConfig,
    EvalDataset,
    EvalLog,
    EvalMetric,
    EvalResults,
    EvalSample,
    EvalScore,
    EvalSpec,
    write_eval_log,
)
from inspect_ai.model import ChatMessage
from inspect_ai.scorer import Score

from attestations.documents.asking import OneRequest
from attestations.documents.base import Part, validated
from attestations.grades import GradeRow
from attestations.predicate import Result
from attestations.verify.export import Verified
from attestations.verify.replaying import Answered
from attestations.verify.schedule import Schedule, check_schedule
from attestations.verify.transcripts import read_transcripts
from auditor_client.integrations.inspect.dialogues import dialogue, turns

CLOSED = "[closed at this stage]"
BESIDE = "exchanges"  # laid to no scheduled task: auxiliary, or the tasks are not open
Place = tuple[int, str, int]


class _Committed(Part):
    request: OneRequest


def write_logs(verified: Verified, folder: Path) -> list[Path]:
    """Write a log of the suite, and one of the exchanges beside it where they are open; return their paths."""
    stage = verified.report.stage or "S1"
    asked, beside = _answers(verified)
    written = [_write(_suite_log(verified, asked), folder / f"{stage}.eval")]
    if beside:
        written.append(_write(_beside_log(verified, beside), folder / f"{stage}-{BESIDE}.eval"))
    return written


def _write(log: EvalLog, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_eval_log(log, str(path), "eval")
    return path


def _suite_log(verified: Verified, answers: Mapping[Place, Answered]) -> EvalLog:
    report, content = verified.report, verified.content
    results = report.predicate.results if report.predicate is not None else ()
    samples = [_sample(verified, row, answers) for row in content.rows or () if row.value.role != "none"]
    return EvalLog(
        status="success",
        eval=_spec(verified, content.registration.suite.id),
        results=_results(results, len(samples)) if results else None,
        samples=samples or None,
    )


def _beside_log(verified: Verified, answers: Mapping[str, Answered]) -> EvalLog:
    samples = [
        EvalSample(
            id=name,
            epoch=1,
            target="",
            metadata={"exchange": _exchange(answered)},
            **dialogue(answered, _model(verified)),
        )
        for name, answered in answers.items()
    ]
    spec = _spec(verified, f"{verified.content.registration.suite.id}-{BESIDE}")
    return EvalLog(status="success", eval=spec, samples=samples)


def _spec(verified: Verified, name: str) -> EvalSpec:
    predicate, digest = verified.report.predicate, verified.report.attestation or ""
    return EvalSpec(
        created=verified.agreement.created_at if predicate is None else predicate.issued_at,
        eval_id=digest[:22],
        run_id=digest[:22],
        task=name,
        task_id=digest[:22],
        dataset=EvalDataset(name=name),
        model=_model(verified),
        config=EvalConfig(),
        metadata=_metadata(verified),
    )


def _model(verified: Verified) -> str:
    return f"safeconduct/{'+'.join(verified.agreement.scope.variants)}"


def _metadata(verified: Verified) -> dict[str, Any]:
    told = verified.report.to_json()
    kept = ("v", "exitCode", "stage", "recipient", "attestation", "checks", "derivedAssurance", "counts", "limitations")
    return {"safeconduct": {"agreement": verified.digest} | {name: told[name] for name in kept}}


def _results(results: tuple[Result, ...], samples: int) -> EvalResults:
    return EvalResults(
        total_samples=samples,
        completed_samples=samples,
        scores=[
            EvalScore(
                name=result.id,
                scorer=result.id,
                scored_samples=int(result.n),
                metrics={
                    name: EvalMetric(name=name, value=float(value))
                    for name, value in (
                        ("accuracy", result.value),
                        ("interval_low", result.interval[0]),
                        ("interval_high", result.interval[1]),
                        ("answered", result.answered),
                    )
                },
                metadata={
                    "category": result.category,
                    "arm": result.arm,
                    "level": result.level,
                    "verdict": result.verdict,
                    "ruleOut": result.rule_out,
                    "ruleIn": result.rule_in,
                },
            )
            for result in results
        ],
    )


def _sample(verified: Verified, row: GradeRow, answers: Mapping[Place, Answered]) -> EvalSample:
    content = verified.content
    value = row.value
    score = Score(
        value="C" if value.score == "1" else "I",
        metadata={"outcome": value.outcome, "role": value.role, "attempts": value.attempts},
    )
    asked = content.tasks.fields("C5", row.task) if "C5" in content.keys else {}
    judged = content.tasks.fields("C6", row.task) if "C6" in content.keys else {}
    answered = answers.get((row.task, row.arm, row.epoch))
    metadata: dict[str, Any] = {"task": row.task, "arm": row.arm, "category": row.category}
    said: dict[str, Any] = {"input": _asked(asked.get("prompt"))}
    if answered is not None:
        metadata["exchange"] = _exchange(answered)
        said = dialogue(answered, _model(verified))
    return EvalSample(
        id=f"{row.arm}/{row.task}",
        epoch=row.epoch + 1,
        target=_target(judged.get("target")),
        choices=_options(asked.get("prompt")),
        scores={"grade": score},
        metadata=metadata,
        **said,
    )


def _answers(verified: Verified) -> tuple[dict[Place, Answered], dict[str, Answered]]:
    """Return the last open transcript of each place, and those of no scheduled task by session and number.

    The last exchange of a task that takes several holds the conversation before it.
    """
    content, tally = verified.content, verified.log.exchanges.tally
    asked: dict[Place, Answered] = {}
    beside: dict[str, Answered] = {}
    if content.transcripts is None:
        return asked, beside
    schedule: Schedule | None = None
    if "C5" in content.keys:
        schedule = check_schedule(content, tally, verified.log.drawing)
    for answered in read_transcripts(content, tally):
        place = None if schedule is None else schedule.place(answered.signed.promise)
        if place is None:
            beside[f"{answered.signed.session}-{answered.signed.seq}"] = answered
        else:
            asked[place] = answered
    return asked, beside


def _exchange(answered: Answered) -> dict[str, Any]:
    signed = answered.signed
    return {
        "session": signed.session,
        "seq": signed.seq,
        "request": signed.request.hex(),
        "result": signed.result.hex(),
    }


def _asked(prompt: Any) -> str | list[ChatMessage]:
    request = prompt.get("request") if isinstance(prompt, dict) else None
    if not isinstance(request, dict):
        return CLOSED
    return turns(validated(_Committed, {"request": request}).request)


def _target(target: Any) -> str | list[str]:
    if not isinstance(target, dict):
        return CLOSED
    shown = target.get("answers") or [target.get(name) for name in ("answer", "pattern", "value") if name in target]
    return [str(item) for item in shown]


def _options(prompt: Any) -> list[str] | None:
    options = prompt.get("options") if isinstance(prompt, dict) else None
    return [str(option) for option in options] if isinstance(options, list) else None
