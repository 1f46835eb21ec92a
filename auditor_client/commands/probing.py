"""`probe`: has the model seen these items before? Through the exchange, outside the audit's figures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from attestations.commands.files import write_file
from attestations.errors import ConfigurationInvalid
from attestations.files import read_file, shown
from attestations.keys import KeyUse
from auditor_client.app import auditor
from auditor_client.beginning import begin
from auditor_client.campaign_state import Progress
from auditor_client.commands import progress
from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.frozen_suite import FrozenSuite
from auditor_client.integrations.receipts import receipt
from auditor_client.probing import PURPOSE, Asked, Item, Prober, beside_paraphrases, in_other_orders, read_paraphrases
from auditor_client.statistics.contamination import Probe, option_order, perplexity_contrast

app = typer.Typer(
    help="Probe whether the model has seen the items before.", no_args_is_help=True, rich_markup_mode=None
)
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


def _run(
    home: Path,
    variant: str | None,
    out: Path | None,
    asked: Callable[[FrozenSuite], Sequence[Asked]],
    found: Callable[[Sequence[Item]], Probe],
    facts: dict[str, Any],
) -> None:
    _check_installed()
    if out is not None and out.exists():
        raise ConfigurationInvalid("the file for the result is there already", field="out")
    items, receipts = asyncio.run(_ask(home, variant, asked))
    result = found(items)
    typer.echo(told(result))
    typer.echo("No figure of the audit: its exchanges are counted as exploratory, and anyone with them can repeat it.")
    if out is not None:
        rows = [{"i": item.i, "logprobs": item.logprobs, "tokens": item.tokens} for item in items]
        value = result._asdict() | facts | {"items": rows, "exchanges": receipts}
        write_file(out, json.dumps(value, indent=2, sort_keys=True).encode() + b"\n")
        typer.echo(f"{shown(out)}: the result, log-probabilities and receipts; it holds no text of the suite")


def told(result: Probe) -> str:
    """Return a probe's result as a line that nobody can read as more than it is."""
    name = result.name.replace("_", " ")
    unit = "nats" if result.name == "option_order" else "nats a token"
    line = f"{name}: {result.n} items, mean difference {result.effect:+.4f} {unit}, one-sided p {result.p:.4f}"
    if result.p < 0.05:  # noqa: PLR2004 - a threshold of habit, and only of this sentence
        return f"{line}: the committed form is likelier than chance explains"
    return f"{line}: nothing found, which shows little: weak traces leave none here"


async def _ask(
    home: Path, variant: str | None, asked: Callable[[FrozenSuite], Sequence[Asked]]
) -> tuple[list[Item], list[dict[str, Any]]]:
    async with auditor(home) as us:
        engagement, mirror = us.engagement(), us.mirror()
        try:
            items = asked(us.suite())
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
    except ImportError:
        raise ConfigurationInvalid(
            "probes need scipy: pip install 'safeconduct[auditor,statistics]'", field="extras"
        ) from None
