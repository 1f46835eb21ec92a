"""`scaffold run`: the auditor's own agent beside the model, in a sandbox at the lab."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from attestations.documents.hooks import SandboxLimits
from attestations.errors import ConfigurationInvalid, FileUnusable
from attestations.files import because, write_file
from auditor_client.app import auditor
from auditor_client.beginning import begin
from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.scaffolds.bundle import Bundle, read_bundle
from auditor_client.scaffolds.running import PURPOSE, Runner, RunOptions, ScaffoldRun, left_open

app = typer.Typer(help="Run your own agent beside the model.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def scaffold() -> None:
    """Run your own agent beside the model."""


@app.command("run")
def run(
    folder: Annotated[Path, typer.Argument(help="The agent's folder.", metavar="DIR")],
    entry: Annotated[str | None, typer.Option(help="Its Python file; else scaffold.toml declares it.")] = None,
    into: Annotated[Path | None, typer.Option(help="Where outputs, files and a summary go.", metavar="OUT")] = None,
    fetch: Annotated[list[str] | None, typer.Option(help="A file of the sandbox to bring back; repeatable.")] = None,
    seconds: Annotated[int, typer.Option(min=1, max=86_400, help="How long the agent may run.")] = 600,
    memory: Annotated[int, typer.Option(min=16, help="MiB of memory.")] = 512,
    disk: Annotated[int, typer.Option(min=1, help="MiB of files.")] = 256,
    processes: Annotated[int, typer.Option(min=1, help="Processes and threads at once.")] = 256,
    calls: Annotated[int, typer.Option(min=0, help="Calls to the model.")] = 1000,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Run an agent in a sandbox at the lab; it finds the model at OPENAI_BASE_URL and nothing else."""
    bundle = read_bundle(folder, entry=entry)
    wall = min(seconds + 60, 86_400)  # room to bring files and fetch them
    limits = SandboxLimits(
        wall_seconds=wall, cpu_seconds=wall, memory_mb=memory, disk_mb=disk, processes=processes, model_calls=calls
    )
    if into is not None and into.exists() and any(into.iterdir()):
        raise ConfigurationInvalid("the folder for the outputs is not empty", field="into")
    options = RunOptions(limits=limits, seconds=seconds, fetch=tuple(fetch or ()))
    ran = asyncio.run(_run(home, bundle, options))
    if into is not None:
        _keep(into, ran)
    typer.echo(_told(ran))
    if ran.exited is None or ran.exited.exit_code != 0:
        raise typer.Exit(1)


async def _run(home: Path, bundle: Bundle, options: RunOptions) -> ScaffoldRun:
    async with auditor(home) as us:
        engagement, mirror = us.engagement(), us.mirror()
        console = Console(stderr=True)
        try:
            await begin(us, engagement, mirror)
            async with us.questioner(engagement, mirror, PURPOSE, kept=left_open(us.journal)) as questioner:
                scope = engagement.agreement.scope
                with console.status("the sandbox is being made") as line:

                    def show(ran: ScaffoldRun) -> None:
                        line.update(f"calls to the model: {ran.calls}, {ran.answered} answered, {ran.refused} not")

                    runner = Runner(questioner, scope=scope, variant=us.variant_name(engagement), on_step=show)
                    return await runner.run(bundle, options)
        finally:
            mirror.close()


def _keep(into: Path, ran: ScaffoldRun) -> None:
    try:
        into.mkdir(parents=True, exist_ok=True)
        files = {"stdout.txt": bytes(ran.stdout), "stderr.txt": bytes(ran.stderr)}
        files |= {f"files/{path}": data for path, data in ran.files.items()}
        files["run.json"] = json.dumps(_summary(ran), indent=2).encode() + b"\n"
        for name, data in files.items():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            write_file(into / name, [data])
    except OSError as error:
        raise FileUnusable(f"the outputs cannot be written: {because(error)}", path=into.name) from None


def _summary(ran: ScaffoldRun) -> dict[str, object]:
    return {
        "exit": None if ran.exited is None else ran.exited.json_value(),
        "lost": ran.lost,
        "calls": {"made": ran.calls, "answered": ran.answered, "failed": ran.refused},
        "exchanges": ran.exchanges + ran.answered,
        "session": ran.session,
        "missing": ran.missing,
        "sandbox": None if ran.statement is None else ran.statement.json_value(),
    }


def _told(ran: ScaffoldRun) -> str:
    if ran.lost is not None:
        how = f"the sandbox was lost ({ran.lost})"
    elif ran.exited is None:
        how = "the agent did not end"
    elif ran.exited.reason != "exited":
        how = f"the agent was ended ({ran.exited.reason})"
    else:
        how = f"the agent ended with {ran.exited.exit_code}"
    missing = f"; {len(ran.missing)} files were not there" if ran.missing else ""
    return f"{how}: {ran.calls} calls to the model, answered: {ran.answered}{missing}"
