"""Step 11, beside the schedule: exchanges of no scheduled task, which are counted by purpose and feed no figure."""

from __future__ import annotations

from collections.abc import Iterator

from attestations.commitments import AUX_PURPOSES, aux_handle


def take_auxiliary(link_key: bytes, promises: dict[bytes, int], *, intents: int) -> dict[str, list[int]]:
    """Take the Promises of auxiliary exchanges out of `promises` and return their numbers by purpose.

    Args:
        link_key: the 32 bytes under which handles are made.
        promises: {handle: number of its Promise} of what belongs to no scheduled task; what is found is removed.
        intents: how many Intents the log holds, refused ones included: no number of a purpose reaches it.
    """
    return {purpose: found for purpose in AUX_PURPOSES if (found := list(_taken(link_key, purpose, promises, intents)))}


def _taken(link_key: bytes, purpose: str, promises: dict[bytes, int], intents: int) -> Iterator[int]:
    # A refused Intent has a number and no Promise, so numbers may be missing; they never pass the number of Intents.
    for number in range(intents):
        if not promises:
            return
        found = promises.pop(bytes.fromhex(aux_handle(link_key, purpose=purpose, number=number)), None)
        if found is not None:
            yield found
