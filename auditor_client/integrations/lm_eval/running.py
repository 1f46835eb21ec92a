"""Runs the harness's tasks through the exchange and keeps its figures, with a receipt for every exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attestations.errors import ConfigurationInvalid, ScopeExceeded
from attestations.keys import KeyUse
from auditor_client.asked import Answered
from auditor_client.integrations.open_folder import OpenFolder, OpenFolders
from auditor_client.integrations.receipts import receipt
from auditor_client.intending import Question

PURPOSE = "lm-eval"
# What the harness keeps of each document are unsalted hashes: whoever knows a document can find it by them.
_KEPT = ("results", "groups", "versions", "n-shot", "n-samples", "higher_is_better")


@dataclass(frozen=True)
class Wanted:
    """What is to be run, in the harness's own terms."""

    tasks: tuple[str, ...]
    variant: str | None = None
    include_path: Path | None = None
    only_included: bool = False
    limit: int | None = None
    num_fewshot: int | None = None
    apply_chat_template: bool = False
    gen_kwargs: str | None = None


@dataclass
class Ran:
    """The harness's figures, how the model was asked, and the receipts; `table` is the harness's own print."""

    figures: dict[str, Any]
    table: str
    unknown_greedy: int
    receipts: list[dict[str, Any]] = field(default_factory=list)


async def run_tasks(home: Path, wanted: Wanted) -> Ran:
    """Run tasks against the agreement in force in an auditor's folder.

    Raises:
        ConfigurationInvalid: the harness is not installed, or knows no such task.
        ScopeExceeded: a task asks for what the exchange does not carry.
        RefusedError, BackendFailed, EvidenceError, PeerError: as for any exchange.
    """
    harness, folders = _harness(), OpenFolders(PURPOSE)
    try:
        return await _run(await folders.open(home), harness, wanted)
    finally:
        await folders.close()


async def _run(folder: OpenFolder, harness: Any, wanted: Wanted) -> Ran:
    from auditor_client.integrations.lm_eval.model import SafeconductLM  # noqa: PLC0415 - only once it can be there

    scope, lab_key = folder.agreement.scope, folder.agreement.lab_key(KeyUse.RECORD)
    variant = wanted.variant or scope.variants[0]
    if variant not in scope.variants:
        raise ScopeExceeded(f"the agreement grants {', '.join(scope.variants)}", rule="variant", variant=variant)
    loop, receipts = asyncio.get_running_loop(), list[dict[str, Any]]()

    async def all_of(questions: Sequence[Question]) -> list[Answered]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(folder.questioner.answer(question)) for question in questions]
        except ExceptionGroup as several:  # the first failure takes back every question that is not yet asked
            raise several.exceptions[0] from None
        return [task.result() for task in tasks]

    def ask_all(questions: Sequence[Question]) -> Sequence[Answered]:
        return asyncio.run_coroutine_threadsafe(all_of(questions), loop).result()

    def heard(answered: Answered, asked: Sequence[Any]) -> None:
        place = {"task": asked[0].task_name, "doc": asked[0].doc_id, "requests": len(asked)}
        receipts.append(place | receipt(answered, lab_key=lab_key))

    model = SafeconductLM(variant, ask_all, heard)
    # The harness is not asynchronous: it runs in a thread of its own, and its requests in this loop.
    results, table = await asyncio.to_thread(_evaluate, harness, model, wanted)
    figures = {name: results[name] for name in _KEPT if name in results}
    return Ran(figures, table, model.unknown_greedy, receipts)


def _harness() -> Any:
    try:
        import lm_eval  # noqa: PLC0415 - seconds to import, and an extra
    except ImportError:
        raise ConfigurationInvalid("the harness is not installed: pip install 'safeconduct[auditor,lm-eval]'") from None
    return lm_eval


def _evaluate(harness: Any, model: Any, wanted: Wanted) -> tuple[dict[str, Any], str]:
    from lm_eval.tasks import TaskManager  # noqa: PLC0415 - see `_harness`
    from lm_eval.utils import make_table  # noqa: PLC0415

    include = None if wanted.include_path is None else str(wanted.include_path)
    manager = TaskManager(include_path=include, include_defaults=not wanted.only_included)
    unknown = [name for name in wanted.tasks if not manager.match_tasks([name])]
    if unknown:
        raise ConfigurationInvalid(f"the harness knows no task {unknown[0]}", field="tasks")
    results = harness.simple_evaluate(
        model=model,
        tasks=list(wanted.tasks),
        task_manager=manager,
        limit=wanted.limit,
        num_fewshot=wanted.num_fewshot,
        apply_chat_template=wanted.apply_chat_template,
        gen_kwargs=wanted.gen_kwargs,
        log_samples=False,
        bootstrap_iters=1000,
    )
    return results, make_table(results)
