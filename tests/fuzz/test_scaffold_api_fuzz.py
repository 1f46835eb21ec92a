"""Whatever a program in a sandbox sends: a request that can be asked, or a refusal that repeats nothing of it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings, strategies as st

from attestations.canonical import canonical_bytes
from attestations.documents.asking import MAX_HOOK_DOCUMENT_BYTES
from attestations.documents.sandboxing import ModelCall
from lab_server.scaffold_api.asking import IGNORED, ONLY, USED, Unacceptable, read_wanted
from lab_server.scaffold_api.connection import Served, serve

NAMES = st.sampled_from(sorted({*IGNORED, *ONLY, *USED, "unknown"}))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["user", "text"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "type", "function", "id"]), inner, max_size=4)
    ),
    max_leaves=8,
)
HEAD = {"model": "m", "messages": [{"role": "user", "content": "canary-said"}]}


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=5), st.sampled_from([{}, HEAD]))
def test_any_body_is_a_request_or_refused(body: dict[str, Any], head: dict[str, Any]) -> None:
    refused: Unacceptable | None = None
    try:
        wanted = read_wanted(json.dumps({**head, **body}).encode(), variant="m")
    except Unacceptable as error:
        refused = error
    else:
        call = ModelCall(call=0, request=wanted.request, sampling=wanted.sampling)
        assert len(canonical_bytes(call.json_value())) < MAX_HOOK_DOCUMENT_BYTES
    if refused is not None:
        assert refused.status in (400, 404)
        assert "canary-said" not in f"{refused}{refused.code}{refused.param}"


class Bytes:
    """A program that sends these bytes and hangs up."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def read(self, limit: int) -> bytes:
        block, self.data = self.data[:limit], self.data[limit:]
        return block

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=300)
    | st.binary(max_size=100).map(lambda end: b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n" + end)
)
async def test_any_bytes_end_in_silence_or_an_answer(data: bytes) -> None:
    async def ask(_: Any) -> Any:
        raise AssertionError("nothing here is a request")

    await serve(Bytes(data), Served("m", ask, 1000, 1.0, lambda: 0.0))
