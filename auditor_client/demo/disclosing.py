"""Stage by stage to the regulator, then other views of the same audit for the lab and for the public."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from attestations.errors import ExitCode
from auditor_client.demo.pace import Pace
from auditor_client.demo.telling import Teller

STAGES = {
    "S1": ("that the suite, the agreement and every exchange are fixed", "no figure, no task, no answer is shown yet"),
    "S2": ("the overall result, sealed before anything was released", "no task is shown yet"),
    "S3": ("the result by category, computed again from the grades by the verifier", "no task is shown yet"),
    "S4": ("the tasks and targets, and that every exchange belongs to one of them", "no answer is shown yet"),
    "S5": ("every answer, graded again by the verifier", "hazardous fields stay sealed for good"),
}
_CLOSED_TO_THE_PUBLIC = ("C6/target=SECURITY", "C5/prompt@0-9=REUSE")


def to_the_regulator(teller: Teller, folder: Path, pace: Pace, closed_at: float) -> None:
    """Release S1 to S5, each verified as soon as it is there."""
    for stage, (shown, hidden) in STAGES.items():
        teller.title(f"Stage {stage} is released to the regulator, who verifies it offline")
        if stage == "S4":
            teller.say(f"Too early: the policy gives the tasks {pace.rest} seconds of rest after the close.")
            if time.monotonic() - closed_at < pace.permitted_after - 8:
                teller.run("auditor", "release", stage, "--home", "auditor", expect=int(ExitCode.DISCLOSURE_BREACH))
                teller.say("Refused by the auditor's own program; a release made in spite of it would be in the log.")
            teller.wait(pace.permitted_after - (time.monotonic() - closed_at), "waiting until the policy permits it")
        teller.run("auditor", "release", stage, "--home", "auditor", quiet=True)
        shutil.copy(folder / f"auditor/evidence/evidence-{stage}.zip", folder / f"evidence-{stage}.zip")
        report = teller.run("verify", f"evidence-{stage}.zip", "--trust", "trust.json", "--json", quiet=True)
        (folder / f"report-{stage}.json").write_text(report)
        _tell_report(teller, json.loads(report))
        teller.proved("the regulator", f"{shown}; {hidden}.")


def to_the_lab(teller: Teller) -> None:
    """Release the overall figures to the lab, and nothing further."""
    teller.title("The lab gets another view: the overall result, and no more")
    _release(teller, "S1", "LAB_ALL", "evidence-lab-S1.zip")
    report = _release(teller, "S2", "LAB_ALL", "evidence-lab-S2.zip")
    _tell_report(teller, report)
    teller.say("It sees the figure and the plan. This file shows no task, no target and no grade.")
    teller.proved(
        "the lab",
        "the overall result was sealed before anybody learned it; that it follows from the grades, S3 would show.",
    )


def to_the_public(teller: Teller, pace: Pace, delivered_at: float) -> None:
    """Release S1 to S3 whole and S4 with typed holes to everybody."""
    teller.title("The public gets a third view, later, with holes that are counted")
    teller.wait(pace.permitted_after - (time.monotonic() - delivered_at), "waiting until the policy permits it")
    for stage in ("S1", "S2", "S3"):
        _release(teller, stage, "PUBLIC", f"evidence-public-{stage}.zip")
    redact = [word for text in _CLOSED_TO_THE_PUBLIC for word in ("--redact", text)]
    report = _release(teller, "S4", "PUBLIC", "evidence-public-S4.zip", *redact)
    _tell_report(teller, report)
    for name, counts in sorted(report["redactions"].items()):
        holes = ", ".join(f"{hole['fields']} {hole['reason']} by the {hole['by']}" for hole in counts["closed"])
        teller.say(f"{name}: {counts['opened']} fields open; closed: {holes}.")
    teller.say(
        "It sees all figures, grades and most tasks. It sees no right answer, ten prompts less, and no transcript."
    )
    teller.proved("the public", "what is open is what was committed to, and every closed field is named with a reason.")


def whole_report(teller: Teller) -> None:
    """Show the report of the last stage as a reader sees it."""
    teller.title("The whole report of the last stage")
    teller.run("verify", "evidence-S5.zip", "--trust", "trust.json")
    teller.say("The model is small: low figures mean that this model fails easy questions when asked this way.")
    teller.say("They do not mean that it is safe, nor what a larger or better elicited model would do.")


def _release(teller: Teller, stage: str, to: str, out: str, *options: str) -> dict[str, Any]:
    teller.run("auditor", "release", stage, "--to", to, *options, "--out", out, "--home", "auditor", quiet=True)
    report: dict[str, Any] = json.loads(teller.run("verify", out, "--trust", "trust.json", "--json", quiet=True))
    return report


def _tell_report(teller: Teller, report: dict[str, Any]) -> None:
    ended = [check["status"] for check in report["checks"]]
    later = ended.count("notAtThisStage")
    teller.say(
        f"{ended.count('pass')} checks hold, {ended.count('fail')} fail"
        + (f", {later} cannot be made at this stage" if later else "")
        + f"; exit code {report['exitCode']}."
    )
