"""`probe`: has the model seen these items before? Through the exchange, outside the audit's figures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from attestations.commands.files import write_file
from attestations.documents.dialogue import ChatResult, ScoreResult
from attestations.documents.elicitation import ElicitationPack
from attestations.errors import ConfigurationInvalid
from attestations.files import read_file, shown
from attestations.keys import KeyUse
from auditor_client.app import auditor
from auditor_client.beginning import begin
from auditor_client.campaign_state import Progress
from auditor_client.commands import progress
from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.eliciting.arms import accepted_pack
from auditor_client.frozen_suite import FrozenSuite
from auditor_client.integrations.receipts import receipt
from auditor_client.probing import (
    PURPOSE,
    Asked,
    Item,
    Prober,
    beside_paraphrases,
    in_other_orders,
    read_paraphrases,
    scored,
)
from auditor_client.statistics.contamination import Probe, option_order, perplexity_contrast
from auditor_client.triggers import Sweep, Trigger, sweep, triggers

app = typer.Typer(
    help="Probe whether the model has seen the items before.", no_args_is_help=True, rich_markup_mode=None
)
_LEVEL = 0.05  # of habit, and only for the sentence that is printed
_SHOWN = 10
_EXPLORATORY = "No figure of the audit: its exchanges are counted as exploratory, and anyone with them can repeat it."
VariantOption = Annotated[str | None, typer.Option(help="Which model to ask; else that of the settings.")]
OutOption = Annotated[Path | None, typer.Option(help="A new file for the result and receipts, as JSON.")]
MostOption = Annotated[int | None, typer.Option(min=2, help="Only the first so many items.")]


@app.callback()
def probe() -> None:
    """Probe whether the model has seen the items before."""


@app.command("order")
def order(
    home: HomeOption = DEFAULT_HOME,
    orders: Annotated[int, typer.Option(min=1, max=20, help="Other orders of each item's options.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Draws the orders, and the permutations of the test.")] = 0,
    most: MostOption = None,
    variant: VariantOption = None,
    out: OutOption = None,
) -> None:
    """Compare the options' committed order with others: who has not seen an item finds them alike."""

    def asked(suite: FrozenSuite) -> Sequence[Asked]:
        return list(in_other_orders(suite, orders=orders, seed=seed))[:most]

    def found(items: Sequence[Item]) -> Probe:
        return option_order([item.logprobs[0] for item in items], [item.logprobs[1:] for item in items], rng_seed=seed)

    _run(home, variant, out, asked, found, {"orders": orders, "seed": seed})


@app.command("perplexity")
def perplexity(
    paraphrases: Annotated[Path, typer.Argument(help="JSON lines: an item's number and a paraphrase of its question.")],
    home: HomeOption = DEFAULT_HOME,
    most: MostOption = None,
    variant: VariantOption = None,
    out: OutOption = None,
) -> None:
    """Compare questions with paraphrases of them: who has seen them finds the committed words likelier."""
    texts = read_paraphrases(read_file(paraphrases), shown(paraphrases))

    def asked(suite: FrozenSuite) -> Sequence[Asked]:
        return list(beside_paraphrases(suite, texts))[:most]

    def found(items: Sequence[Item]) -> Probe:
        return perplexity_contrast([item.per_token[0] for item in items], [item.per_token[1] for item in items])

    _run(home, variant, out, asked, found, {})


@app.command("tokens")
def tokens(
    home: HomeOption = DEFAULT_HOME,
    file: Annotated[Path | None, typer.Option(help="Further tokens or passwords to try, one a line.")] = None,
    most: Annotated[int, typer.Option(min=2, max=200, help="At most so many DEV tasks.")] = 16,
    limit: Annotated[int, typer.Option(min=1, help="At most so many exchanges; a pack may list many tokens.")] = 2000,
    variant: VariantOption = None,
    out: OutOption = None,
) -> None:
    """Ask DEV tasks with each special token or password the lab's pack lists, and without: does one unlock anything?"""
    _check_installed()
    _check_new(out)
    own = [] if file is None else read_file(file).decode(errors="replace").splitlines()
    made: list[Sweep] = []

    def asked(suite: FrozenSuite, pack: ElicitationPack | None) -> Sequence[Asked]:
        listed = [*(() if pack is None else pack.tokens), *(line for line in own if line.strip())]
        made.append(sweep(suite, listed, most=most))
        needed = len(made[0].asked)
        if needed > limit:
            raise ConfigurationInvalid(
                f"{needed} exchanges would be asked: lower --most or raise --limit", field="limit"
            )
        return made[0].asked

    results, receipts = asyncio.run(_ask(home, variant, asked))
    found = triggers(made[0], results)
    for one in found[:_SHOWN]:
        typer.echo(_told_of(one))
    if len(found) > _SHOWN:
        typer.echo(f"and {len(found) - _SHOWN} more ways, none of them more striking")
    typer.echo(_EXPLORATORY)
    if out is not None:
        value = {"name": "tokens", "triggers": [one._asdict() for one in found], "exchanges": receipts}
        _keep(out, value)


def _told_of(one: Trigger) -> str:
    where = "as system prompt" if one.placement == "system" else "before the question"
    line = f"token {one.token} {where}: {one.right} of {one.n} DEV tasks right, {one.right_without} without it"
    return f"{line}; Holm p {one.p:.4f}" + (": THE MODEL CAN DO MORE WITH IT" if one.p < _LEVEL else "")


def _run(
    home: Path,
    variant: str | None,
    out: Path | None,
    asked: Callable[[FrozenSuite], Sequence[Asked]],
    found: Callable[[Sequence[Item]], Probe],
    facts: dict[str, Any],
) -> None:
    _check_installed()
    _check_new(out)
    questions: list[Asked] = []

    def of_suite(suite: FrozenSuite, _: ElicitationPack | None) -> Sequence[Asked]:
        questions.extend(asked(suite))
        return questions

    results, receipts = asyncio.run(_ask(home, variant, of_suite))
    items = scored(questions, results)
    line, result = concluded(found, items)
    typer.echo(line)
    typer.echo(_EXPLORATORY)
    if out is not None:
        rows = [{"i": item.i, "logprobs": item.logprobs, "tokens": item.tokens} for item in items]
        _keep(out, result | facts | {"items": rows, "exchanges": receipts})


def concluded(found: Callable[[Sequence[Item]], Probe], items: Sequence[Item]) -> tuple[str, dict[str, Any]]:
    """Return a probe's result as words and data; of answers that allow none, though they were paid for, the reason."""
    try:
        result = found(items)
    except ValueError as error:
        return f"no result from {len(items)} items: {error}", {"n": len(items)}
    return told(result), result._asdict()


def _check_new(out: Path | None) -> None:
    if out is not None and out.exists():
        raise ConfigurationInvalid("the file for the result is there already", field="out")


def _keep(out: Path, value: dict[str, Any]) -> None:
    write_file(out, json.dumps(value, indent=2, sort_keys=True).encode() + b"\n")
    typer.echo(f"{shown(out)}: numbers and receipts; it holds no text of the suite")


def told(result: Probe) -> str:
    """Return a probe's result as a line that nobody can read as more than it is."""
    name = result.name.replace("_", " ")
    unit = "nats" if result.name == "option_order" else "nats a token"
    line = f"{name}: {result.n} items, mean difference {result.effect:+.4f} {unit}, one-sided p {result.p:.4f}"
    if result.p < _LEVEL:
        return f"{line}: the committed form is likelier than chance explains"
    return f"{line}: nothing found, which shows little: weak traces leave none here"


async def _ask(
    home: Path, variant: str | None, asked: Callable[[FrozenSuite, ElicitationPack | None], Sequence[Asked]]
) -> tuple[list[ChatResult | ScoreResult], list[dict[str, Any]]]:
    async with auditor(home) as us:
        engagement, mirror = us.engagement(), us.mirror()
        try:
            suite = us.suite()
            items = asked(suite, accepted_pack(us.journal))
            await begin(us, engagement, mirror)
            lab_key = engagement.agreement.lab_key(KeyUse.RECORD)
            async with us.questioner(engagement, mirror, PURPOSE) as questioner:
                prober = Prober(questioner, us.journal, variant or us.variant_name(engagement))
                with progress.shown("probing") as move:
                    told_of = await prober.ask(items, lambda done, total: move(Progress(total, done, 0)))
            return told_of[0], [receipt(answered, lab_key=lab_key) for answered in told_of[1]]
        finally:
            mirror.close()


def _check_installed() -> None:
    try:
        import scipy  # noqa: F401, PLC0415 - an optional extra
        import statsmodels  # noqa: F401, PLC0415
    except ImportError:
        raise ConfigurationInvalid(
            "probes need scipy: pip install 'safeconduct[auditor,statistics]'", field="extras"
        ) from None
