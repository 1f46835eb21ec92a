"""Models that fine-tune jobs made are unloaded when others are wanted, but never while they answer."""

from __future__ import annotations

from pathlib import Path

from attestations.digests import sha256
from attestations.documents.dialogue import ChatRequest, Message, Sampling
from attestations.documents.finetuning import Recipe, TrainingStatement, derived_manifest
from lab_server.backends.scripted import ScriptedBackend
from lab_server.model_port import Finished, ModelBackend
from lab_server.worker.derived import DerivedVariants, JobFolders, KeptJob

BASE, REQUEST = "11" * 32, ChatRequest(messages=(Message(role="user", content="x"),))


class Kept(ScriptedBackend):
    """Remembers whether it was closed."""

    closed = False

    async def close(self) -> None:
        self.closed = True
        await super().close()


def made(folders: JobFolders, agreement: str, job: str) -> str:
    folder = folders.make(agreement, job)
    (folder / "adapter.json").write_bytes(b"{}")
    adapter = sha256(b"{}")
    stated = TrainingStatement(
        job=job,
        state="SUCCEEDED",
        base="deployed",
        base_manifest=BASE,
        demonstrations="22" * 32,
        count=1,
        recipe=Recipe(),
        trainer="test/1",
        planned_steps=1,
        planned_tokens="1",
        steps=1,
        tokens="1",
        seconds="0",
        resumed=0,
        losses="33" * 32,
        adapter=adapter,
        manifest=derived_manifest(BASE, adapter),
    )
    kept = KeptJob(folder, stated, ())
    folders.keep(kept)
    return kept.variant


async def test_another_engagement_that_asks_for_more_models_does_not_break_off_an_answer(tmp_path: Path) -> None:
    folders, loaded = JobFolders(tmp_path), list[Kept]()

    async def adapt(_: str, __: Path) -> ModelBackend:
        loaded.append(Kept(("one two three four",) * 4))
        return loaded[-1]

    derived = DerivedVariants(folders, adapt)
    served = await derived.served("aa" * 32, made(folders, "aa" * 32, "ft-0"))
    assert served is not None
    answer = served.backend.answer(REQUEST, Sampling(max_output_tokens=8), seed=0, deadline_seconds=5)
    pieces = [await anext(answer)]
    for number in range(3):
        assert await derived.served("bb" * 32, made(folders, "bb" * 32, f"ft-{number}")) is not None
    assert [backend.closed for backend in loaded] == [False, True, True, False]
    pieces += [piece async for piece in answer]
    assert isinstance(pieces[-1], Finished)
    await derived.served("bb" * 32, made(folders, "bb" * 32, "ft-3"))
    assert [backend.closed for backend in loaded] == [True, True, True, False, False]
    await derived.close()
