"""The way from a program in a box to the model, with the package that auditors' programs use."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lab_server.sandbox.images import Images
from lab_server.sandbox.port import Input, Limits, Spec
from tests.support import sandboxes
from tests.support.boxes import LIMITS, provider, spec
from tests.support.scripted_model import ScriptedModel

pytestmark = pytest.mark.skipif(sandboxes.needs_bwrap, reason=sandboxes.NO_BWRAP)

SCAFFOLD = """
import asyncio, sys
from openai import APIConnectionError, AsyncOpenAI, OpenAI

client = OpenAI(base_url="http://127.0.0.1:8080/v1", api_key="dummy")
print([model.id for model in client.models.list()])
ask = dict(model="m", messages=[{"role": "user", "content": "hello"}])
print(client.chat.completions.create(**ask).choices[0].message.content)
print("".join(part.choices[0].delta.content for part in client.chat.completions.create(stream=True, **ask)))

async def many():
    async with AsyncOpenAI(base_url="http://127.0.0.1:8080/v1", api_key="dummy") as client:
        answers = await asyncio.gather(*(client.chat.completions.create(**ask) for _ in range(20)))
        print({answer.choices[0].message.content for answer in answers}, len(answers))

asyncio.run(many())
try:
    OpenAI(api_key="x", max_retries=0, timeout=3).models.list()
except APIConnectionError:
    print("no way out")
"""


async def test_an_unmodified_openai_program_talks_to_the_model_and_to_nothing_else(
    box_image: tuple[Images, str], box_folder: Path
) -> None:
    model = ScriptedModel()
    wanted = Spec(box_image[1], inputs={"main.py": Input(SCAFFOLD.encode())}, limits=Limits(memory_mb=256, pids=64))
    box = await provider(box_image, box_folder).create(wanted, model)
    done = await box.exec(["python3", "main.py"], timeout=60)
    used = await box.close()

    assert done.stdout.decode().splitlines() == ["['m']", "HELLO", "HELLO", "{'HELLO'} 20", "no way out"], done.stderr
    assert model.calls == 23
    assert model.keys == {"Bearer dummy"}
    assert used.model_streams >= 2


async def test_connections_beyond_the_limit_are_closed_at_once(box_image: tuple[Images, str], box_folder: Path) -> None:
    async def waits(stream: object) -> None:
        await asyncio.sleep(60)

    code = """
import socket
held = [socket.create_connection(("127.0.0.1", 8080)) for _ in range(6)]
ended = 0
for sock in held:
    sock.settimeout(0.5)
    try:
        ended += sock.recv(1) == b""
    except ConnectionResetError:
        ended += 1
    except TimeoutError:
        pass
print(ended)
"""
    limits = Limits(**{**vars(LIMITS), "model_streams": 4})
    box = await provider(box_image, box_folder).create(spec(box_image, limits), waits)
    done = await box.exec(["python3", "-c", code], timeout=20)
    await box.close()

    assert done.stdout == b"2\n"
