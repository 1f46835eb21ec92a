"""Auditor CPU for an item: our campaign beside Inspect with its mock model, in one run on one machine.

Inspect's side is its whole work on a sample with nothing behind the model: solver, scorer, events and its log with
the realtime copy it keeps by default. Ours is a campaign's whole work on an item: commitments, seals, signatures,
checks, the journal on disk, the log's copy and its cosignatures, over mutual TLS to a lab.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.bench import exchanges

TARGET = 1 / 5


class Cost(NamedTuple):
    """CPU seconds of the auditor's process for one item."""

    ours: float
    inspect: float
    provider: float

    @property
    def ratio(self) -> float:
        """Ours as a share of Inspect's."""
        return self.ours / self.inspect


def run(folder: Path, *, items: int, lanes: int) -> Cost:
    """Run both, and Inspect over our provider as well."""
    ours = exchanges.run(folder / "ours", items=items, lanes=lanes).auditor_cpu
    mock = _inspect(folder / "mock", items=items, lanes=lanes)
    return Cost(ours, mock, _over_the_exchange(folder / "both", items=items, lanes=lanes))


def _inspect(folder: Path, *, items: int, lanes: int, home: Path | None = None) -> float:
    os.environ["INSPECT_DISPLAY"] = "none"
    from inspect_ai import Task, eval as evaluate
    from inspect_ai.dataset import Sample
    from inspect_ai.model import Model, ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import match
    from inspect_ai.solver import generate

    task = Task([Sample(input=f"question {i}", target="yes") for i in range(items)], solver=generate(), scorer=match())
    if home is None:
        # With its usage given, Inspect's mock model needs no tokenizer, which it would load from the network.
        usage = ModelUsage(input_tokens=2, output_tokens=1, total_tokens=3)
        answer = ModelOutput.from_content("mockllm/model", "yes").model_copy(update={"usage": usage})
        model: Model = get_model("mockllm/model", custom_outputs=lambda *_: answer.model_copy(deep=True))
    else:
        model = get_model("safeconduct/rehearsed", home=str(home))
    evaluate(task, model=model, limit=2, log_dir=str(folder / "warm"))  # imports and first files are not an item's cost
    before = time.process_time()
    [log] = evaluate(task, model=model, max_samples=lanes, max_connections=lanes, log_dir=str(folder))
    spent = time.process_time() - before
    if log.status != "success":
        raise RuntimeError("Inspect did not finish")
    return spent / items


def _over_the_exchange(folder: Path, *, items: int, lanes: int) -> float:
    import asyncio

    import auditor_client.integrations.inspect.registry  # noqa: F401 - as its entry point would
    from auditor_client.committing import Draft
    from tests.support.audit_world import design, suite
    from tests.support.real_audit import real_audit

    drafts = [Draft(task.fields, task.question) for task in suite().tasks]
    audit = real_audit(folder, drafts, design().plan, script={"otherwise": "yes"}, lanes=lanes)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(audit.lab.start())
    try:
        loop.run_until_complete(audit.must("propose"))
        return _inspect(folder, items=items, lanes=lanes, home=audit.auditor.path)
    finally:
        loop.run_until_complete(audit.lab.stop())
        loop.close()


def main() -> None:
    """Print the figures."""
    import tempfile

    items = 200 if "--quick" in sys.argv else 1000
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        cost = run(Path(folder), items=items, lanes=8)
    print(f"our campaign, auditor CPU an item     {cost.ours * 1000:6.2f} ms")
    print(f"Inspect with its mock model           {cost.inspect * 1000:6.2f} ms")
    print(f"Inspect over the exchange             {cost.provider * 1000:6.2f} ms")
    print(f"ours / Inspect                        {cost.ratio:6.2f}    target <= {TARGET:.2f}")


if __name__ == "__main__":
    main()
