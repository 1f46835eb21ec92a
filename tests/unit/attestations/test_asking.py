"""What is sealed for a worker, from a request whose bytes are known already."""

from __future__ import annotations

import pytest

from attestations.documents.asking import AnyRequest, SealedRequest, request_commitment, sealed_bytes
from attestations.documents.base import encode
from attestations.documents.dialogue import ChatRequest, CountRequest, Message, ScoreRequest

KEY, SALT = bytes(range(32)), bytes(32)


@pytest.mark.parametrize(
    "request_",
    [
        ChatRequest(messages=(Message(role="user", content='\u2028 "quoted" é 🜁'),)),
        ScoreRequest(prefix="2 + 2 =", continuations=(" 4", " 5")),
        CountRequest(text=""),
    ],
)
def test_bytes_put_together_are_those_of_the_document(request_: AnyRequest) -> None:
    whole = SealedRequest(request=request_, response_key=encode(KEY), salt=encode(SALT))
    data = request_.to_bytes()
    assert sealed_bytes(data, response_key=KEY, salt=SALT) == whole.to_bytes()
    assert request_commitment(data, SALT) == request_commitment(request_, SALT)
