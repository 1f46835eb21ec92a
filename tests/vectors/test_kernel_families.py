"""The kept vectors are what the code makes today, and they open and verify."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from attestations.adjudication.case import parse_case
from attestations.adjudication.judging import adjudicate
from attestations.canonical import canonical_bytes
from attestations.checkpoint import cosignature_time, open_checkpoint
from attestations.commitments import ClassKey, check_field, parse_task_leaf
from attestations.draw import draw, draw_seed, share_commitment
from attestations.escrow.binding import Place, check_proof, unwrap
from attestations.escrow.sharing import check_share, combine, parse_scalar, scalar_bytes
from attestations.frames import EventReader, FrameOpener
from attestations.keys import KeyUse, enrol
from attestations.merkle import leaf_hash, verify_consistency, verify_inclusion
from attestations.notes import parse_note
from attestations.packages import iter_package, open_chunk
from attestations.sealing import WorkerKey, open_request
from attestations.trust import parse_trust
from tests.vectors import (
    generate_adjudication,
    generate_checkpoint,
    generate_commitments,
    generate_draw,
    generate_escrow,
    generate_formats,
    generate_frames,
    generate_packages,
    generate_sealing,
)
from tests.vectors.families import path, read, to_text

GENERATORS: dict[str, Callable[[], Any]] = {
    "adjudication": generate_adjudication.generate,
    "checkpoint": generate_checkpoint.generate,
    "commitments": generate_commitments.generate,
    "draw": generate_draw.generate,
    "escrow": generate_escrow.generate,
    "formats": generate_formats.generate,
    "frames": generate_frames.generate,
    "packages": generate_packages.generate,
    "sealing": generate_sealing.generate,
}


@pytest.mark.parametrize("family", GENERATORS)
def test_generating_again_changes_nothing(family: str) -> None:
    assert path(family).read_text("utf-8") == to_text(GENERATORS[family]())


def test_cases_have_their_verdicts() -> None:
    vectors = read("adjudication")
    trust = parse_trust(json.dumps(vectors["trust"]).encode())
    for item in vectors["cases"].values():
        verdict = adjudicate(parse_case(canonical_bytes(item["case"])), trust)
        assert item["verdict"] == generate_adjudication.published(verdict)


def test_draws_follow_from_their_inputs() -> None:
    vectors = read("draw")
    shares = {side: bytes.fromhex(vectors[side]["share"]) for side in ("auditor", "lab")}
    assert {side: vectors[side]["commitment"] for side in shares} == {
        side: share_commitment(share) for side, share in shares.items()
    }
    made = bytes.fromhex(vectors["beacon"])
    seed = draw_seed(
        suite_root=vectors["suiteRoot"], auditor_share=shares["auditor"], lab_share=shares["lab"], beacon=made
    )
    assert vectors["seed"] == seed.hex()
    for item in vectors["draws"]:
        assert item["drawn"] == list(draw(seed, item["bank"], item["count"]))


def test_committed_fields_open() -> None:
    vectors = read("commitments")
    keys = {item["class"]: bytes.fromhex(item["secret"]) for item in vectors["classKeys"]}
    leaves = [parse_task_leaf(text.encode()) for text in vectors["leaves"]]
    for item in vectors["fields"]:
        key = ClassKey(keys[item["class"]], vectors["suite"]["id"], item["class"])
        check_field(key, leaves[item["i"]], item["path"], item["value"])


def test_sealed_requests_open() -> None:
    vectors = read("sealing")
    key = WorkerKey(bytes.fromhex(vectors["seed"]))
    assert vectors["public"] == key.public.hex()
    for item in vectors["requests"]:
        opened = open_request(key, bytes.fromhex(vectors["info"]), bytes.fromhex(item["sealed"]))
        assert item["plaintext"] == opened.hex()


def test_frames_open_to_their_events() -> None:
    vectors = read("frames")
    opener, reader = FrameOpener(bytes.fromhex(vectors["key"])), EventReader()
    events = []
    for number, item in enumerate(vectors["frames"]):
        events += reader.feed(opener.open(number, bytes.fromhex(item["sealed"]), final=item["final"]))
    reader.finish()
    assert vectors["events"] == [[event.kind, event.data.hex()] for event in events]


def test_package_chunks_open() -> None:
    vectors = read("packages")
    key = ClassKey(bytes.fromhex(vectors["classKey"]), vectors["suiteId"], vectors["class"])
    chunks = list(iter_package([bytes.fromhex(vectors["file"])]))
    assert [item["plain"] for item in vectors["chunks"]] == [
        open_chunk(key, i, ct).hex() for i, ct in enumerate(chunks)
    ]


def test_a_class_key_comes_back_from_its_shares() -> None:
    vectors = read("escrow")
    where = {"agreement": vectors["agreement"], "content_class": vectors["class"], "branch": vectors["branch"]}
    secrets = []
    for number, group in enumerate(vectors["groups"]):
        shares = {}
        for index, item in enumerate(group["shares"], start=1):
            share = parse_scalar(bytes.fromhex(item["share"]))
            check_share(group["commitments"], index, share, holder=item["holder"])
            check_proof(
                bytes.fromhex(item["proof"]),
                item["point"],
                manifest=vectors["manifest"],
                place=Place(vectors["branch"], number, index),
                holder=item["holder"],
                challenge=vectors["challenge"],
            )
            shares[index] = share
        secrets.append(combine(group["commitments"], shares))
        assert scalar_bytes(secrets[-1]).hex() == group["secret"]
    assert unwrap(secrets, bytes.fromhex(vectors["wrapped"]), **where).hex() == vectors["classKey"]


def test_checkpoints_and_proofs_hold() -> None:
    vectors = read("checkpoint")
    log_key = enrol("lab", KeyUse.LOG, bytes.fromhex(vectors["logKey"]))
    cosigner = enrol("auditor", KeyUse.COSIGN, bytes.fromhex(vectors["cosigner"]["key"]))
    note = parse_note(vectors["cosigned"])
    checkpoint = open_checkpoint(note, origin=vectors["origin"], log_key=log_key)
    time = cosignature_time(note, name=vectors["cosigner"]["name"], key=cosigner)
    assert time is not None
    assert vectors["cosigner"]["time"] == int(time.timestamp())
    roots = [bytes.fromhex(item) for item in vectors["roots"]]
    assert checkpoint.root == roots[checkpoint.size]
    for index, (leaf, proof) in enumerate(zip(vectors["leaves"], vectors["inclusion"], strict=True)):
        path_ = [bytes.fromhex(item) for item in proof]
        verify_inclusion(leaf=leaf_hash(bytes.fromhex(leaf)), index=index, size=7, proof=path_, root=roots[7])
    for old, proof in enumerate(vectors["consistency"], start=1):
        path_ = [bytes.fromhex(item) for item in proof]
        verify_consistency(old_size=old, old_root=roots[old], new_size=7, new_root=roots[7], proof=path_)
