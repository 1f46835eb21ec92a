"""Taking evidence away never raises what is claimed or derived, and never turns a no into a yes (I22)."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import assume, given, settings, strategies as st

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.container import MEMBER_NAMES
from attestations.errors import ExitCode
from attestations.verify.report import Report
from tests.support.world import STAGES, Hooks, World, check, packed
from tests.support.world_suite import make_tasks

LADDERS = ("task_secrecy", "model_identity", "completeness", "pre_registration", "elicitation", "disclosure")
KEYS = ("C2", "C3", "C5", "C6", "C7", "C8")
OPTIONAL = tuple(name for name in MEMBER_NAMES if name not in ("index.dsse.json", "pack.dsse.json"))


def better_grade(rows: list[Any]) -> list[Any]:
    value = rows[3].value.model_copy(update={"outcome": "correct", "score": "1"})
    return [*rows[:3], rows[3]._replace(value=value), *rows[4:]]


@cache
def world(*, lying: bool) -> World:
    hooks = Hooks(alter={"rows": better_grade}) if lying else Hooks()
    return World(tasks=make_tasks(10, size=12), hooks=hooks).build()


@cache
def members(stage: str, *, lying: bool) -> dict[str, bytes]:
    return world(lying=lying).members(stage, "REGULATOR")


def verified(stage: str, dropped: frozenset[str], keys: frozenset[str], *, lying: bool) -> Report:
    """Verify a file from which the auditor itself has taken members and keys, with a new index over the rest."""
    content = {name: data for name, data in members(stage, lying=lying).items() if name not in dropped}
    if "keys.json" in content and keys:
        kept = {name: key for name, key in parse_canonical(content["keys.json"]).items() if name not in keys}
        content["keys.json"] = canonical_bytes(kept)
        if not kept:
            del content["keys.json"]
    assume(content)  # an index lists at least one member
    index = world(lying=lying).index(content, stage, "REGULATOR")
    return check(packed({"index.dsse.json": index, **content}))


@given(
    stage=st.sampled_from(STAGES),
    dropped=st.frozensets(st.sampled_from(OPTIONAL), max_size=len(OPTIONAL) - 1),
    keys=st.frozensets(st.sampled_from(KEYS)),
)
@settings(max_examples=60)
def test_removing_members_and_keys_never_raises_a_level(
    stage: str, dropped: frozenset[str], keys: frozenset[str]
) -> None:
    whole, rest = verified(stage, frozenset(), frozenset(), lying=False), verified(stage, dropped, keys, lying=False)
    assert whole.exit_code is ExitCode.OK
    assert whole.assurance is not None
    if rest.assurance is not None:
        for ladder in LADDERS:
            assert getattr(rest.assurance, ladder) <= getattr(whole.assurance, ladder), ladder
    if rest.exit_code is ExitCode.OK:
        # Without kept checkpoints a release may look later than it was, never earlier or in time.
        harmless = {"acknowledgement.dsse.json", "checkpoints.jsonl"} | (
            {"keys.json"} if stage == "S1" else frozenset()
        )
        assert dropped & members(stage, lying=False).keys() <= harmless
        assert rest.lab_acknowledged <= whole.lab_acknowledged


@given(
    dropped=st.frozensets(st.sampled_from(OPTIONAL), max_size=len(OPTIONAL) - 1),
    keys=st.frozensets(st.sampled_from(KEYS)),
)
@settings(max_examples=40)
def test_removing_what_shows_a_lie_does_not_make_it_true(dropped: frozenset[str], keys: frozenset[str]) -> None:
    assert verified("S5", frozenset(), frozenset(), lying=True).exit_code is ExitCode.SCORE_MISMATCH
    assert verified("S5", dropped, keys, lying=True).exit_code is not ExitCode.OK


def test_a_predicate_with_a_part_taken_out_claims_no_more() -> None:
    """What the attestation must say is required; what it may leave out says less by being absent."""

    def without(path: tuple[str, ...]) -> Report:
        def cut(predicate: dict[str, Any]) -> dict[str, Any]:
            place = predicate
            for name in path[:-1]:
                place = place[name]
            del place[path[-1]]
            return predicate

        return World(tasks=make_tasks(10, size=12), hooks=Hooks(alter={"predicate": cut})).verify("S3")

    parts = (
        "agreement", "preRegistration", "arms", "runtime", "transcript", "results", "validity", "disclosure",
        "assurance", "limitationsText", "issuedAt", "supersedes",
    )  # fmt: skip
    for name in parts:
        assert without((name,)).exit_code is ExitCode.MALFORMED, name
    for name in ("taskSecrecy", "completeness"):
        assert without(("assurance", name)).exit_code is ExitCode.MALFORMED, name
    assert without(("validity", "controls")).exit_code is ExitCode.MALFORMED
    assert without(("validity", "canary")).exit_code is ExitCode.MALFORMED
