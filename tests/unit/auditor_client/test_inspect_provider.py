"""Inspect asks through the exchange: what it may ask, what it gets back, and what ends a run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai", reason="needs safeconduct[inspect]")

import sniffio
from inspect_ai import Task, eval_async
from inspect_ai.agent import AgentSubmit, react
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog, read_eval_log_async
from inspect_ai.model import ChatMessageUser, ContentImage, GenerateConfig, Model, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate
from inspect_ai.tool import Tool, tool

from attestations.documents.dialogue import ChatRequest, ChatResult, GeneratedToken, TokenLogprob, ToolCall
from attestations.envelope import Envelope
from attestations.errors import BackendFailed, BudgetExhausted, ConfigurationInvalid, ScopeExceeded
from attestations.log_entries import parse_entry
from auditor_client.integrations.inspect import folders
from auditor_client.integrations.open_folder import OpenFolder
from tests.support.simulated_lab import Held
from tests.unit.auditor_client.conftest import Audit
from tests.unit.auditor_client.test_questioning import questioner

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Inspect's own
MODEL = "safeconduct/deployed"


class OneFolder:
    """Stands where the process keeps its folders, with the one of a test in it."""

    def __init__(self, folder: OpenFolder) -> None:
        self.folder = folder

    async def open(self, _: Path) -> OpenFolder:
        return self.folder

    async def close(self) -> None:
        pass


@pytest.fixture
async def folder(audit: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OneFolder]:
    """A folder that is open for Inspect; `deployed` may be asked with tools and log-probabilities."""
    (tmp_path / "auditor.toml").write_text("[run]\nlanes = 3\n")
    monkeypatch.setenv("SAFECONDUCT_HOME", str(tmp_path))
    monkeypatch.setenv("INSPECT_DISPLAY", "none")
    engagement = audit.world.engagement()
    agreement = engagement.agreement
    scope = agreement.scope.model_copy(update={"tools": True, "max_top_logprobs": 5})
    async with questioner(audit, lanes=3) as ask:
        one = OneFolder(OpenFolder(agreement.model_copy(update={"scope": scope}), engagement.digest, ask))
        from auditor_client.integrations.inspect import provider

        monkeypatch.setattr(provider, "FOLDERS", one)
        monkeypatch.setattr(folders, "FOLDERS", one)
        yield one


def model(**arguments: Any) -> Model:
    return get_model(MODEL, memoize=False, **arguments)


async def run(tmp_path: Path, samples: Sequence[str], **settings: Any) -> EvalLog:
    """Evaluate questions whose answer is yes, and read the log back from its file."""
    solver, config = settings.pop("solver", generate()), settings.pop("config", GenerateConfig())
    task = Task([Sample(input=text, target="yes") for text in samples], solver=solver, scorer=includes(), config=config)
    return await evaluated(task, tmp_path, **settings)


async def evaluated(task: Task, tmp_path: Path, **settings: Any) -> EvalLog:
    """Evaluate a task, and read the log back from its file."""
    [log] = await eval_async(task, model=model(), log_dir=str(tmp_path / "logs"), **settings)
    return await read_eval_log_async(log.location)


async def test_a_task_runs_and_each_output_holds_the_receipt_of_its_exchange(
    audit: Audit, folder: OneFolder, tmp_path: Path
) -> None:
    log = await run(tmp_path, [f"question {i}" for i in range(5)])

    assert log.status == "success"
    assert log.results is not None
    assert log.results.scores[0].metrics["accuracy"].value == 1
    receipts = [sample.output.metadata["safeconduct"] for sample in log.samples or [] if sample.output.metadata]
    assert {audit.world.engagement().digest} == {item["agreement"] for item in receipts}
    for item in receipts:
        [record] = parse_entry(audit.lab.leaves_[int(item["logIndex"])]).documents
        assert record.digest == item["record"]
        assert record.to_json()["signatures"] == [item["signature"]]
    usage = [sample.output.usage for sample in log.samples or []]
    assert [(use.input_tokens, use.output_tokens, use.total_tokens) for use in usage if use] == [(7, 3, 10)] * 5


@tool
def addition() -> Tool:
    async def execute(x: int, y: int) -> str:
        """Add two numbers.

        Args:
            x: The first.
            y: The second.
        """
        return str(x + y)

    return execute


async def test_an_agent_calls_tools_through_the_exchange(audit: Audit, folder: OneFolder, tmp_path: Path) -> None:
    asked: list[ChatRequest] = []

    def answer(request: ChatRequest) -> ChatResult:
        asked.append(request)
        last = request.messages[-1]
        if last.role == "user":
            return ChatResult(
                content="", tool_calls=(ToolCall(id="c1", name="addition", arguments='{"x": 2, "y": 3}'),)
            )
        arguments = f'{{"answer": "yes, {last.content}"}}'
        return ChatResult(content="", tool_calls=(ToolCall(id="c2", name="submit", arguments=arguments),))

    audit.lab.answer = answer
    log = await run(tmp_path, ["two and three?"], solver=react(tools=[addition()], submit=AgentSubmit()))

    assert (log.status, len(asked)) == ("success", 2)
    assert {"addition", "submit"} == {item.name for item in asked[0].tools}
    assert (asked[1].messages[-1].role, asked[1].messages[-1].content, "c1") == ("tool", "5", "c1")
    assert log.samples is not None
    assert log.samples[0].output.completion == "yes, 5"


async def test_an_agent_of_a_package_runs_as_it_is_with_its_own_data_tools_and_scorer(
    audit: Audit, folder: OneFolder, tmp_path: Path
) -> None:
    package = pytest.importorskip("inspect_evals.agent_threat_bench", reason="needs inspect-evals")
    task = await asyncio.to_thread(package.agent_threat_bench_memory_poison)  # reads its data in a loop of its own
    keys: list[str] = []

    def answer(request: ChatRequest) -> ChatResult:
        last = request.messages[-1]
        if last.role == "user":
            keys.append(last.content)
            return ChatResult(content="", tool_calls=(ToolCall(id="c", name="memory_read", arguments='{"key": "x"}'),))
        return ChatResult(content="I found nothing I can trust.")

    audit.lab.answer = answer
    log = await evaluated(task, tmp_path, limit=3, max_tokens=64)

    assert (log.status, len(keys)) == ("success", 3)
    calls = [event for sample in log.samples or [] for event in sample.events if event.event == "model"]
    assert len(calls) == len(audit.lab.calls) == 6
    assert all(event.output.metadata and event.output.metadata["safeconduct"]["record"] for event in calls)
    assert [set(sample.scores or ()) for sample in log.samples or []] == [{"agent_threat_bench_scorer"}] * 3


async def test_log_probabilities_come_back_as_inspect_has_them(audit: Audit, folder: OneFolder) -> None:
    token = GeneratedToken(token="yes", logprob="-0.5", top=(TokenLogprob(token="yes", logprob="-0.5"),))
    audit.lab.answer = lambda _: ChatResult(content="yes", logprobs=(token,))

    bare = await model().generate("q", config=GenerateConfig(logprobs=True))
    full = await model().generate("q", config=GenerateConfig(logprobs=True, top_logprobs=1))

    assert bare.choices[0].logprobs is not None
    assert full.choices[0].logprobs is not None
    assert (
        bare.choices[0].logprobs.content[0].logprob,
        bare.choices[0].logprobs.content[0].top_logprobs,
    ) == (-0.5, None)
    assert [item.token for item in full.choices[0].logprobs.content[0].top_logprobs or ()] == ["yes"]


async def test_a_spent_budget_ends_the_run_at_once_with_a_whole_log(
    audit: Audit, folder: OneFolder, tmp_path: Path
) -> None:
    audit.lab.misbehave("refuse", at=3)
    log = await run(tmp_path, [f"question {i}" for i in range(5)], max_samples=1)

    assert log.status == "error"
    assert log.error is not None
    assert "BUDGET_EXHAUSTED" in log.error.message
    assert len(audit.lab.calls) == 2
    refused = [
        event for sample in log.samples or [] for event in sample.events if event.event == "model" and event.error
    ]
    assert [event.retries or 0 for event in refused] == [0]


async def test_a_refusal_is_never_retried(audit: Audit, folder: OneFolder) -> None:
    audit.lab.misbehave("refuse", at=1)
    with pytest.raises(BudgetExhausted):
        await model().generate("q")
    assert len(audit.lab.held) == 1


async def test_what_a_filter_stopped_is_a_refusal(audit: Audit, folder: OneFolder) -> None:
    audit.lab.finish_reason = "filtered"
    output = await model().generate("q")

    assert output.stop_reason == "content_filter"
    assert output.choices[0].stop_details is not None


async def test_a_conversation_that_is_too_long_stops_as_inspect_expects(audit: Audit, folder: OneFolder) -> None:
    audit.lab.error_code = "BACKEND_CONTEXT_EXCEEDED"
    audit.lab.misbehave("model_error")
    assert (await model().generate("q")).stop_reason == "model_length"


async def test_an_unanswered_exchange_is_tried_as_often_as_registered(audit: Audit, folder: OneFolder) -> None:
    audit.lab.misbehave("model_error", at=1)
    assert (await model().generate("q")).completion == "yes"
    audit.lab._faults.pop("model_error", None)
    audit.lab.now_does = lambda fault: fault == "model_error"  # type: ignore[method-assign]
    with pytest.raises(BackendFailed):
        await model().generate("q")

    assert len(audit.lab.held) == 2 + 3


async def test_an_answer_is_never_put_into_a_cache(audit: Audit, folder: OneFolder) -> None:
    with pytest.raises(ScopeExceeded, match="cached"):
        await model().generate("q", cache=True)
    assert not audit.lab.held


async def test_pictures_are_refused(audit: Audit, folder: OneFolder) -> None:
    picture = ContentImage(image="data:image/png;base64,iVBORw0KGgo=")
    with pytest.raises(ScopeExceeded, match="image"):
        await model().generate([ChatMessageUser(content=[picture])])


async def test_another_variant_is_refused_with_those_granted(audit: Audit, folder: OneFolder) -> None:
    with pytest.raises(ScopeExceeded, match="safeconduct/deployed"):
        await get_model("safeconduct/other", memoize=False).generate("q")


async def test_a_credential_among_model_arguments_is_refused(folder: OneFolder) -> None:
    for wrong in ({"token": "secret"}, {"api_key": "secret"}, {"base_url": "https://lab.example"}):
        with pytest.raises(ConfigurationInvalid) as refused:
            model(**wrong)
        assert "secret" not in str(refused.value)


async def test_trio_is_refused_with_what_to_change(folder: OneFolder) -> None:
    asked = model().api.generate([ChatMessageUser(content="q")], [], "auto", GenerateConfig())
    token = sniffio.current_async_library_cvar.set("trio")
    try:
        with pytest.raises(ConfigurationInvalid, match="INSPECT_ASYNC_BACKEND"):
            await asked
    finally:
        sniffio.current_async_library_cvar.reset(token)


async def test_a_cancelled_call_is_in_the_transcript_once_its_intent_is_signed(audit: Audit, folder: OneFolder) -> None:
    begun, intend = asyncio.Event(), audit.lab.intend

    def noted(envelope: Envelope) -> Held:
        begun.set()
        return intend(envelope)

    audit.lab.intend = noted  # type: ignore[method-assign]
    audit.lab.delay = 0.05
    call = asyncio.create_task(model().generate("q"))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await folder.folder.questioner.__aexit__()

    assert [exchange.status async for exchange in audit.journal.exchanges()] == ["COMPLETED"]


async def test_many_samples_share_the_lanes(audit: Audit, folder: OneFolder, tmp_path: Path) -> None:
    audit.lab.delay = 0.005
    log = await run(tmp_path, [f"question {i}" for i in range(12)], max_samples=12)

    assert log.status == "success"
    assert len(audit.lab.opened) <= 3
    assert 12 == len(set(audit.lab.calls)) == len(audit.lab.calls)
