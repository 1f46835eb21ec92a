"""`lm-eval`: tasks of lm-evaluation-harness through the exchange."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from attestations.commands.files import write_file
from attestations.errors import FileUnusable
from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.integrations.lm_eval.running import Wanted, run_tasks


def lm_eval(
    tasks: Annotated[str, typer.Option(help="Names of tasks or groups, separated by commas.")],
    home: HomeOption = DEFAULT_HOME,
    variant: Annotated[str | None, typer.Option(help="Which model to ask; the first granted one if left out.")] = None,
    include_path: Annotated[Path | None, typer.Option(help="A folder with further tasks.")] = None,
    only_included: Annotated[
        bool, typer.Option("--only-included", help="Read no tasks but that folder's: the harness's own are thousands.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only this many documents of each task.")] = None,
    num_fewshot: Annotated[int | None, typer.Option(min=0, help="Examples in front of each question.")] = None,
    apply_chat_template: Annotated[
        bool, typer.Option("--apply-chat-template", help="Ask as a conversation, in the lab's own template.")
    ] = False,
    gen_kwargs: Annotated[str | None, typer.Option(help="How to generate, e.g. max_gen_toks=64.")] = None,
    out: Annotated[Path | None, typer.Option(help="A new file for figures and receipts, as JSON.")] = None,
) -> None:
    """Run tasks of lm-evaluation-harness; every request is a signed exchange outside the committed suite."""
    if out is not None and (out.is_dir() or not out.parent.is_dir()):  # told before anything is asked
        raise FileUnusable(f"{out} cannot be written: it is a folder, or its folder is missing", path=str(out))
    wanted = Wanted(
        tasks=tuple(name for name in tasks.split(",") if name),
        variant=variant,
        include_path=include_path,
        only_included=only_included,
        limit=limit,
        num_fewshot=num_fewshot,
        apply_chat_template=apply_chat_template,
        gen_kwargs=gen_kwargs,
    )
    ran = asyncio.run(run_tasks(home, wanted))
    typer.echo(ran.table)
    typer.echo(
        f"exchanges in the transcript, of no scheduled task: {len(ran.receipts)}; they feed no figure of the audit"
    )
    if ran.unknown_greedy:
        typer.echo(f"{ran.unknown_greedy} scores without a word on greedy decoding; they count as not greedy")
    if out is not None:
        value = ran.figures | {"unknownGreedy": ran.unknown_greedy, "exchanges": ran.receipts}
        write_file(out, json.dumps(value, indent=2, sort_keys=True, default=str).encode() + b"\n")
        typer.echo(f"{out}: figures and receipts")
