"""The demo itself: lab, auditor and regulator, one command after the other."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from attestations.errors import ExitCode, FileUnusable, SetupError
from auditor_client.demo.tampering import forge
from auditor_client.demo.telling import Teller, command

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
_SERVE_SECONDS = 120.0
_COUNTERED_REQUESTS = 5000
_POLICY_SECONDS = 33.0  # the policy's 30 s and both sides' tolerated clock skew
STAGES = {
    "S1": ("that the suite, the agreement and every exchange are fixed", "no figure, no task, no answer is shown yet"),
    "S2": ("the overall result, sealed before anything was released", "no task is shown yet"),
    "S3": ("the result by category, computed again from the grades by the verifier", "no task is shown yet"),
    "S4": ("the tasks and targets, and that every exchange belongs to one of them", "no answer is shown yet"),
    "S5": ("every answer, graded again by the verifier", "hazardous fields stay sealed for good"),
}


@app.callback(invoke_without_command=True)
def demo(
    into: Annotated[Path, typer.Option(help="A folder for everything the demo makes; emptied first.")] = Path(
        "build/demo"
    ),
    scripted: Annotated[bool, typer.Option(help="Use a scripted model (for tests of the demo itself).")] = False,
) -> None:
    """Run a whole audit of a real language model on this machine, and catch a forger."""
    folder = _fresh(into)
    teller = Teller(folder)
    _prepare(teller, folder, scripted=scripted)
    with _serving(folder) as address:
        _point_at(folder, address)
        _negotiate(teller, folder)
        closed_at = _audit(teller)
        _disclose(teller, folder, closed_at)
    _forgery(teller, folder)
    program = Path(sys.executable).with_name("safeconduct")
    with suppress(ValueError):
        program = program.relative_to(Path.cwd())
    typer.echo(f"\nEverything is in {into}: lab/, auditor/, trust.json, evidence-S1.zip to evidence-S5.zip.")
    typer.echo(f"Try it yourself:  {program} verify {into}/evidence-S5.zip --trust {into}/trust.json")


def _fresh(into: Path) -> Path:
    marker = ".safeconduct-demo"
    if into.exists():
        if any(into.iterdir()) and not (into / marker).exists():
            raise FileUnusable(f"{into} holds something that is not a demo; give another folder", path=str(into))
        shutil.rmtree(into)
    into.mkdir(parents=True)
    (into / marker).touch()
    return into.resolve()


def _prepare(teller: Teller, folder: Path, *, scripted: bool) -> None:
    teller.title("Lab and auditor make their keys and exchange identities")
    teller.run("lab", "init", "--id", "lab.example", "--home", "lab", quiet=True)
    teller.run("auditor", "init", "--id", "auditor.example", "--home", "auditor", quiet=True)
    teller.run("lab", "admit", "auditor/identity.json", "--home", "lab", quiet=True)
    shutil.copy(folder / "lab/identity.json", folder / "auditor/lab-identity.json")
    teller.run("trust", "lab/identity.json", "auditor/identity.json", "--out", "trust.json", quiet=True)
    teller.say(
        "A regulator gets both identity files over another channel; trust.json holds their keys and nothing else."
    )
    (folder / "lab/policy.json").write_bytes(files("auditor_client.demo").joinpath("policy.json").read_bytes())
    settings = folder / "lab/lab.toml"
    text = settings.read_text().replace("127.0.0.1:7443", "127.0.0.1:0")
    text = text.replace("# skew_seconds = 5", "skew_seconds = 1")
    if scripted:
        text = text.replace('kind = "llama"', 'kind = "scripted"\nscript = "script.json"', 1)
        (folder / "lab/script.json").write_text(json.dumps({"otherwise": "B"}))
    settings.write_text(f'{text}policy = "policy.json"\nreview = "manual"\n')

    teller.title("The auditor writes a hidden suite and commits to it")
    with as_file(files("auditor_client.demo_suite")) as suite:
        shutil.copytree(suite, folder / "auditor/suite", ignore=shutil.ignore_patterns("__*"), dirs_exist_ok=True)
    teller.run("auditor", "suite", "check", "--home", "auditor")
    teller.run("auditor", "suite", "commit", "--home", "auditor")
    teller.proved("nobody yet", "but from here on the suite cannot change without every verifier seeing it.")


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    ready = folder / "lab/ready.json"
    with (folder / "lab/serve.out").open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command("lab", "serve", "--home", "lab", "--ready-file", str(ready)),
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        deadline = time.monotonic() + _SERVE_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SetupError(f"the lab did not start: {(folder / 'lab/serve.out').read_text().strip()}")
            time.sleep(0.1)
        yield str(json.loads(ready.read_text())["address"])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _point_at(folder: Path, address: str) -> None:
    settings = folder / "auditor/auditor.toml"
    settings.write_text(settings.read_text().replace("127.0.0.1:7443", address))


def _negotiate(teller: Teller, folder: Path) -> None:
    teller.title("The lab serves its model; both sides agree on terms and on who learns what, when")
    teller.say("At this lab a person reads every offer, and wants to give fewer requests than the auditor asks for.")
    teller.run("auditor", "propose", "--home", "auditor", quiet=True)
    (folder / "lab/counter.toml").write_text(f'[budget]\nrequests = "{_COUNTERED_REQUESTS}"\n')
    teller.run("lab", "counter", "audit-1", "--edit", "lab/counter.toml", "--home", "lab", quiet=True)
    page = teller.run("auditor", "review", "--home", "auditor", quiet=True)
    for line in page.partition("Changes since the offer before\n")[2].splitlines():
        if line.startswith("  "):
            teller.say(line.strip())
    teller.run("auditor", "accept", "--home", "auditor", quiet=True)
    teller.run("lab", "conclude", "audit-1", "--home", "lab", quiet=True)
    teller.run("auditor", "conclude", "--home", "auditor")
    teller.proved("both", "each holds the other's signature over the same agreement and disclosure policy.")


def _audit(teller: Teller) -> float:
    teller.title("The auditor asks the model every task, sealed past the lab's gateway")
    teller.say("For each task the lab signs a Promise before it can read it, then a Record of the answer.")
    teller.run("auditor", "run", "--home", "auditor")
    teller.run("lab", "status", "--home", "lab")
    teller.proved("the auditor", "every answer is the one the lab signed for, under a seed fixed after its Promise.")
    teller.proved("the lab", "the auditor stayed within scope and budget; the gateway never held a prompt.")

    teller.title("Close, grade, seal")
    teller.run("auditor", "close", "--home", "auditor")
    closed_at = time.monotonic()
    teller.run("auditor", "grade", "--home", "auditor")
    teller.run("auditor", "seal", "--home", "auditor")
    teller.proved("both", "what took place is counted and signed by both; grades and content are fixed, still sealed.")
    return closed_at


def _disclose(teller: Teller, folder: Path, closed_at: float) -> None:
    for stage, (shown, hidden) in STAGES.items():
        teller.title(f"Stage {stage} is released to the regulator, who verifies it offline")
        if stage == "S4":
            teller.say("Too early: the policy gives the tasks half a minute of rest after the close.")
            if time.monotonic() - closed_at < _POLICY_SECONDS - 8:
                teller.run("auditor", "release", stage, "--home", "auditor", expect=int(ExitCode.DISCLOSURE_BREACH))
                teller.say("Refused by the auditor's own program; a release made in spite of it would be in the log.")
            teller.wait(_POLICY_SECONDS - (time.monotonic() - closed_at), "waiting until the policy permits it")
        teller.run("auditor", "release", stage, "--home", "auditor", quiet=True)
        shutil.copy(folder / f"auditor/evidence/evidence-{stage}.zip", folder / f"evidence-{stage}.zip")
        report = teller.run("verify", f"evidence-{stage}.zip", "--trust", "trust.json", "--json", quiet=True)
        (folder / f"report-{stage}.json").write_text(report)
        _tell_report(teller, json.loads(report))
        teller.proved("the regulator", f"{shown}; {hidden}.")
    teller.title("The whole report of the last stage")
    teller.run("verify", "evidence-S5.zip", "--trust", "trust.json")
    teller.say("The model is small: low figures mean that this model fails easy questions when asked this way.")
    teller.say("They do not mean that it is safe, nor what a larger or better elicited model would do.")


def _tell_report(teller: Teller, report: dict[str, object]) -> None:
    checks = report["checks"]
    assert isinstance(checks, list)  # noqa: S101 - our own report
    ended = [check["status"] for check in checks]
    later = ended.count("notAtThisStage")
    teller.say(
        f"{ended.count('pass')} checks hold, {ended.count('fail')} fail"
        + (f", {later} cannot be made at this stage" if later else "")
        + f"; exit code {report['exitCode']}."
    )


def _forgery(teller: Teller, folder: Path) -> None:
    teller.title("Someone improves a published figure")
    forgery = forge(folder / "evidence-S5.zip", folder / "forged.zip")
    teller.say(f"In forged.zip the figure {forgery.metric} is {forgery.after} instead of {forgery.before}.")
    report = json.loads(
        teller.run(
            "verify",
            "forged.zip",
            "--trust",
            "trust.json",
            "--json",
            expect=int(ExitCode.SIGNATURE_INVALID),
            quiet=True,
        )
    )
    for check in report["checks"]:
        if check["status"] == "fail":
            teller.say(f"caught at step {check['step']} ({check['name']}): {check['detail']} [{check['reason']}]")
    teller.proved(
        "anyone with trust.json", f"the file was changed after it was signed; exit code {report['exitCode']}."
    )
