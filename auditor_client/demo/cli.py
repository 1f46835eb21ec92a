"""The demo itself: lab, auditor and regulator, one command after the other."""

from __future__ import annotations

import json
import shutil
import sys
import time
from contextlib import suppress
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from attestations.errors import ExitCode, FileUnusable
from auditor_client.demo import disclosing, elicitation, vanishing
from auditor_client.demo.pace import FOR_PEOPLE, FOR_TESTS
from auditor_client.demo.parties import make_parties
from auditor_client.demo.serving import serving
from auditor_client.demo.tampering import forge
from auditor_client.demo.telling import Teller

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
_COUNTERED_REQUESTS = 5000


@app.callback(invoke_without_command=True)
def demo(
    context: typer.Context,
    into: Annotated[Path, typer.Option(help="A folder for everything the demo makes; emptied first.")] = Path(
        "build/demo"
    ),
    scripted: Annotated[
        bool, typer.Option(help="Use a scripted model and short waits (for tests of the demo itself).")
    ] = False,
) -> None:
    """Run a whole audit of a real language model on this machine, and catch a forger."""
    if context.invoked_subcommand is not None:
        return
    folder = _fresh(into)
    tell(Teller(folder), folder, scripted=scripted)
    program = Path(sys.executable).with_name("safeconduct")
    with suppress(ValueError):
        program = program.relative_to(Path.cwd())
    typer.echo(f"\nEverything is in {into}: lab/, auditor/, trust.json, evidence-S1.zip to evidence-S5.zip.")
    typer.echo("The lab's and the public's views are evidence-lab-*.zip and evidence-public-*.zip.")
    typer.echo(f"Try it yourself:  {program} verify {into}/evidence-S5.zip --trust {into}/trust.json")


def tell(teller: Teller, folder: Path, *, scripted: bool) -> None:
    """Run the whole story in an empty folder."""
    pace = FOR_TESTS if scripted else FOR_PEOPLE
    make_parties(teller, folder, pace, scripted=scripted)
    _commit(teller, folder)
    with serving(folder) as address:
        _point_at(folder, address)
        _negotiate(teller, folder)
        closed_at, delivered_at = _audit(teller)
        vanishing.hold_shares(teller, folder)
        disclosing.to_the_regulator(teller, folder, pace, closed_at)
        disclosing.to_the_lab(teller)
        disclosing.to_the_public(teller, pace, delivered_at)
        disclosing.whole_report(teller)
    vanishing.vanish(teller, folder, pace, delivered_at)
    _forgery(teller, folder)


@app.command("elicitation")
def elicitation_(
    into: Annotated[Path, typer.Option(help="A folder for everything the demo makes; emptied first.")] = Path(
        "build/demo-elicitation"
    ),
    large: Annotated[bool, typer.Option("--large/--small", help="Train the 135M model through the hook, too.")] = True,
) -> None:
    """Show what fine-tuning finds in a model that hides what it can do (needs safeconduct[finetune])."""
    elicitation.tell(_fresh(into), large=large)
    typer.echo(f"\nEverything is in {into}: report-*.json, evidence-*.zip, trust.json.")


def _fresh(into: Path) -> Path:
    marker = ".safeconduct-demo"
    if into.exists():
        if any(into.iterdir()) and not (into / marker).exists():
            raise FileUnusable(f"{into} holds something that is not a demo; give another folder", path=str(into))
        shutil.rmtree(into)
    into.mkdir(parents=True)
    (into / marker).touch()
    return into.resolve()


def _commit(teller: Teller, folder: Path) -> None:
    teller.title("The auditor writes a hidden suite and commits to it")
    with as_file(files("auditor_client.demo_suite")) as suite:
        shutil.copytree(suite, folder / "auditor/suite", ignore=shutil.ignore_patterns("__*"), dirs_exist_ok=True)
    teller.run("auditor", "suite", "check", "--home", "auditor")
    teller.run("auditor", "suite", "commit", "--home", "auditor")
    teller.proved("nobody yet", "but from here on the suite cannot change without every verifier seeing it.")


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


def _audit(teller: Teller) -> tuple[float, float]:
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
    delivered_at = time.monotonic()
    teller.say("Before the packages were delivered, the keys the auditor owes were dealt to the holders in shares.")
    teller.proved("both", "what took place is counted and signed by both; grades and content are fixed, still sealed.")
    return closed_at, delivered_at


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
