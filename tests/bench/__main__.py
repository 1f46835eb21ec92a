"""Runs every benchmark and prints figures beside their targets (docs: architecture numbers in README's terms).

`--quick` runs fewer exchanges; `--full` verifies 100,000 exchanges as well (making that file takes minutes, once).
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tests.bench import (
    echo,
    escrow,
    exchanges,
    inspect_cost,
    packages,
    policies,
    sandboxes,
    scaffolds,
    scale,
    suites,
    training,
    verification,
)
from tests.bench.commands import Figures

LANES = 8
FLAT = 2  # KiB of memory an item: places and digests, and none of its texts
STALL = 0.02  # a model call of 20 ms, to see what is added to it


def main() -> None:
    """Print the table."""
    quick, full = "--quick" in sys.argv, "--full" in sys.argv
    items = 400 if quick else 2000
    say(f"exchanges: {items} over {LANES} lanes, both sides durable, mutual TLS ...")
    with tempfile.TemporaryDirectory() as folder:
        ours = exchanges.run(Path(folder) / "a", items=items, lanes=LANES)
        say("the same messages through a raw echo ...")
        base = echo.run(items, LANES)
        say("latency of one exchange around a 20 ms model call ...")
        slow = exchanges.run(Path(folder) / "b", items=60, lanes=1, stall=STALL)
    both = ours.gateway_cpu + ours.worker_cpu + ours.auditor_cpu
    row("throughput", f"{ours.rate:.0f} exchanges/s", "")
    row("  raw echo", f"{base.rate:.0f} exchanges/s", "")
    row("  ratio", f"{ours.rate / base.rate:.2f}", verdict(ours.rate / base.rate >= 0.5, ">= 0.5"))
    row("CPU an exchange", f"{both * 1000:.2f} ms", verdict(both <= 0.003, "<= 3 ms"))
    row("  auditor", f"{ours.auditor_cpu * 1000:.2f} ms", verdict(ours.auditor_cpu <= 0.0015, "<= 1.5 ms"))
    row("  gateway", f"{ours.gateway_cpu * 1000:.2f} ms", "")
    row("  worker", f"{ours.worker_cpu * 1000:.2f} ms", "")
    row("  raw echo, both sides", f"{base.cpu * 1000:.2f} ms", f"ratio {both / base.cpu:.1f}")
    added = slow.wall / slow.exchanges - STALL
    row("added to a model call", f"{added * 1000:.1f} ms", verdict(added <= 0.005, "<= 5 ms"))
    scaffolding()
    beside_inspect(items)
    sealing(quick=quick)
    boxes(quick=quick)
    for name, seconds in policies.run():
        row(name, f"{seconds * 1000:.2f} ms", "")
    importing(quick=quick)
    scaling(quick=quick, full=full)
    if training.able():
        say("fine-tuning the packaged model ...")
        rates = training.run()
        row("training", f"{rates.ours:.0f} tokens/s", "")
        row("  plain peft", f"{rates.plain:.0f} tokens/s", f"ratio {rates.ours / rates.plain:.2f}")
    kept = Path("build/bench")
    for size in (1000, 10_000, 100_000) if full else (1000,) if quick else (1000, 10_000):
        started = time.perf_counter()
        say(f"evidence of {size} exchanges ...")
        verification.evidence(kept, size)
        made = time.perf_counter() - started
        found = verification.verify(kept, size)
        target = verdict(found.seconds <= 60, "<= 60 s") if size == 100_000 else f"made in {made:.0f} s"
        row(
            f"verify {found.exchanges}",
            f"{found.seconds:.1f} s, {found.exchanges / found.seconds:.0f}/s, peak {found.peak_mib:.0f} MiB",
            target,
        )


def scaffolding() -> None:
    """Print what an agent in a sandbox pays."""
    say("an agent in a sandbox that asks the model through the auditor ...")
    took = scaffolds.measure()
    if took is None:
        row("scaffolds", "this machine cannot isolate", "")
        return
    row("a scaffold's model call", f"{took.model_call * 1000:.1f} ms", "through the auditor, without the model")
    row("  a program run, in the worker", f"{took.exec_in_worker * 1000:.1f} ms", "")


def beside_inspect(items: int) -> None:
    """Print what an item costs the auditor beside what it costs Inspect with nothing behind its model."""
    if find_spec("inspect_ai") is None:
        row("beside Inspect", "not installed", "")
        return
    say("the same beside Inspect with its mock model ...")
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        cost = inspect_cost.run(Path(folder), items=items, lanes=LANES)
    row("auditor CPU an item", f"{cost.ours * 1000:.2f} ms", verdict(cost.ratio <= inspect_cost.TARGET, "<= a fifth"))
    row("  Inspect, mock model", f"{cost.inspect * 1000:.2f} ms", f"ratio {cost.ratio:.2f}")
    row("  Inspect over the exchange", f"{cost.provider * 1000:.2f} ms", "")


def sealing(*, quick: bool) -> None:
    """Print the figures of sealed packages and of escrow."""
    small, large = (1000, 10_000) if quick else (10_000, 100_000)
    say(f"sealing and opening {small} and {large} transcripts ...")
    few, many = packages.measure(small), packages.measure(large)
    for found in (few, many):
        rates = f"seal {found.exchanges / found.seal_seconds:.0f}/s, open {found.exchanges / found.open_seconds:.0f}/s"
        added = found.peak_mib - found.base_mib
        row(f"seal {found.exchanges}", f"{rates}, {found.file_mib:.0f} MiB, +{added:.0f} MiB of memory", "")
    grown = (many.peak_mib - few.peak_mib) / (many.file_mib - few.file_mib)
    row("  memory a MiB sealed", f"{grown:.3f} MiB", verdict(grown <= 0.15, "<= 0.15: flat"))
    took = escrow.measure()
    row("escrow of one class", f"deal {took.deal:.1f} ms, anyone's check {took.public_check:.1f} ms", "6 shares")
    row("  a holder", f"check {took.holder_check:.1f} ms, prove {took.prove:.1f} ms", "")
    row("  a quorum", f"open {took.open:.1f} ms", "")


def boxes(*, quick: bool) -> None:
    """Print what a box takes against the bare sandbox tool of the same run."""
    say("boxes for foreign programs ...")
    found = sandboxes.run(5 if quick else 20)
    if found is None:
        row("box", "not measured: no bubblewrap", "")
        return
    row("bare bwrap", f"true {found.bare_true * 1000:.1f} ms, python {found.bare_python * 1000:.1f} ms", "")
    ratio = f"{found.create / found.bare_python:.1f} x bare python"
    row("box, tested, ready", f"{found.create * 1000:.1f} ms, closed in {found.close * 1000:.1f} ms", ratio)
    ratio = f"{found.exec_true / found.bare_true:.2f} x and {found.exec_python / found.bare_python:.2f} x bare"
    row("  program in it", f"true {found.exec_true * 1000:.1f} ms, python {found.exec_python * 1000:.1f} ms", ratio)
    row("  file of 10 kB, in", f"{found.file * 1000:.2f} ms", "")
    row("  2 kB to the model", f"{found.model_call * 1000:.2f} ms there and back", "")


def importing(*, quick: bool) -> None:
    """Print what importing, checking and committing a large suite takes."""
    small, large = (500, 5000) if quick else (5000, 50_000)
    say(f"suites of {small} and {large} items ...")
    with tempfile.TemporaryDirectory() as folder:
        few, many = (suites.run(Path(folder, str(items)), items) for items in (small, large))
    growing(few, many, small, large, tell=not quick)


def scaling(*, quick: bool, full: bool) -> None:
    """Print what every command of an audit takes, and how its memory grows."""
    small, large = (500, 2000) if quick else (10_000, 50_000) if full else (2000, 10_000)
    say(f"audits of {small} and {large} items, command by command ...")
    with tempfile.TemporaryDirectory() as folder:
        few, many = (scale.run(Path(folder, str(items)), items) for items in (small, large))
    growing(few.commands, many.commands, small, large, tell=not quick)
    row("gateway, worker", f"{many.gateway_mib:.0f} and {many.worker_mib:.0f} MiB", f"after {large} items")


def growing(few: Sequence[Figures], many: Sequence[Figures], small: int, large: int, *, tell: bool) -> None:
    """Print what commands took for `large` items, and how their memory grew from `small`."""
    for less, more in zip(few, many, strict=True):
        row(f"{more.command} {large}", f"{more.wall:.1f} s, CPU {more.cpu:.1f} s, peak {more.peak_mib:.0f} MiB", "")
        grown = (more.peak_mib - less.peak_mib) * 1024 / (large - small)
        # A few thousand items fit the buffers: their memory says nothing about more of them.
        note = verdict(grown <= FLAT, f"<= {FLAT} KiB: no texts are kept") if tell else "too few to tell"
        row("  memory an item", f"{grown:.1f} KiB", note)


def row(name: str, value: str, note: str) -> None:
    """Print one figure."""
    print(f"{name:<24}{value:<44}{note}", flush=True)


def say(text: str) -> None:
    """Say what is going on, apart from the figures."""
    print(text, file=sys.stderr, flush=True)


def verdict(met: bool, target: str) -> str:  # noqa: FBT001 - reads well at its callers
    """Return the target and whether it was met."""
    return f"target {target}: {'met' if met else 'MISSED'}"


if __name__ == "__main__":
    main()
