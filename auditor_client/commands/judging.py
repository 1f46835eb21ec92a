"""`judge calibrate`, `judge run`: a model that grades, tried on answers people graded before it grades others."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.documents.analysis import PlannedJudge
from attestations.documents.base import validated
from attestations.errors import ConfigurationInvalid, PhaseViolation, SuiteInvalid
from attestations.files import read_file, shown, write_file
from attestations.intervals import rounded
from attestations.judged import PROMPT
from auditor_client.app import auditor
from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.grading_run import waiting_for_judge
from auditor_client.home import Home
from auditor_client.judge_endpoint import Endpoint
from auditor_client.judging import GradedBefore, calibrate as try_out, judge_all
from auditor_client.settings import JudgeSettings, load_settings
from auditor_client.statistics.agreement import alpha

app = typer.Typer(help="Let a declared model grade what no rule can.", no_args_is_help=True)


@app.command()
def calibrate(
    answers: Annotated[Path, typer.Argument(help="JSON lines: question, reference, rubric, answer, correct.")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Try the judge on answers that people graded before; the result is committed with the suite."""
    folder = Home(home)
    if folder.committed.exists():
        raise PhaseViolation("the suite is committed: its judge can no longer change")
    settings, prompt = _settings(folder)
    items = [_item(line, number) for number, line in enumerate(_lines(answers), start=1)]
    judge = asyncio.run(
        try_out(settings.name, settings.model, prompt, items, _endpoint(folder, settings).ask, _agreement)
    )
    write_file(folder.judge, [canonical_bytes(judge.json_value()) + b"\n"])
    known = judge.calibration
    right = int(known.right_called_right) + int(known.right_called_wrong)
    wrong = int(known.wrong_called_wrong) + int(known.wrong_called_right)
    typer.echo(f"{shown(folder.judge)}: {judge.name} is {judge.model}, tried on {len(items)} answers")
    typer.echo(f"of {right} right answers it called {known.right_called_right} right; ")
    typer.echo(f"of {wrong} wrong ones {known.wrong_called_wrong} wrong; agreement beyond chance {judge.agreement}")


@app.command()
def run(home: HomeOption = DEFAULT_HOME) -> None:
    """Ask the judge about every answer that waits for it; nothing is asked twice."""

    async def go() -> None:
        async with auditor(home) as us:
            plan = us.design().plan
            settings, prompt = _settings(us.home)
            declared = next((judge for judge in plan.judges if judge.name == settings.name), None)
            if declared is None or declared.model != settings.model:
                raise PhaseViolation("the plan declares another judge than the settings name")
            waiting = await waiting_for_judge(us.suite(), journal=us.journal)
            given = await judge_all(waiting, declared, prompt, _endpoint(us.home, settings).ask, us.journal)
            typer.echo(f"{given} different answers judged")

    asyncio.run(go())


def calibrated(folder: Home) -> tuple[PlannedJudge, ...]:
    """Return the judge as it was calibrated, if there is one."""
    if not folder.judge.exists():
        return ()
    return (validated(PlannedJudge, parse_canonical(folder.read(folder.judge).strip())),)


def _settings(folder: Home) -> tuple[JudgeSettings, str]:
    settings = load_settings(folder.settings).judge
    if settings is None:
        raise ConfigurationInvalid(f"{folder.settings.name} has no [judge]", field="judge")
    prompt = PROMPT if settings.prompt is None else read_file(folder.path / settings.prompt).decode()
    return settings, prompt


def _endpoint(folder: Home, settings: JudgeSettings) -> Endpoint:
    secret = None if settings.key_file is None else read_file(folder.path / settings.key_file).decode().strip()
    return Endpoint(settings.url, settings.model, secret, settings.answer_seconds)


def _lines(path: Path) -> list[bytes]:
    return [line for line in read_file(path).splitlines() if line.strip()]


def _item(line: bytes, number: int) -> GradedBefore:
    try:
        return GradedBefore.model_validate_json(line)
    except ValueError:
        raise SuiteInvalid(f"line {number} is no graded answer", rule="judge", line=str(number)) from None


def _agreement(one: Any, other: Any) -> str:
    found = alpha(list(zip(one, other, strict=True)))
    return rounded(found if found is not None else 0)
