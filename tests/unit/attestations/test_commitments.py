"""Hidden tasks stay hidden, stay where they were put, and open one class at a time."""

from __future__ import annotations

import hashlib
import hmac
import json
import time

import pytest
from hypothesis import given, strategies as st

from attestations.commitments import (
    ClassKey,
    SuiteKey,
    TaskLeaf,
    aux_handle,
    check_field,
    check_salts,
    commit_field,
    commit_task,
    field_commitment,
    handle,
    padded_size,
    parse_task_leaf,
    suite_root,
)
from attestations.errors import CommitmentMismatch, MalformedEnvelope, SafeconductError, WeakSalt
from tests.support.fixed_keys import secret, suite_key
from tests.support.naive_merkle import naive_root

FIELDS = {
    "kind": ("C5", "test"),
    "prompt": ("C5", {"messages": [{"role": "user", "text": "2 + 2?"}]}),
    "target": ("C6", "B"),
    "hazard": ("C9", None),
}
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
paths = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,20}", fullmatch=True)


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(8, "big") + data


def test_a_commitment_is_the_hash_the_specification_spells_out() -> None:
    def expand(key: bytes, info: bytes) -> bytes:
        return hmac.new(key, info + b"\x01", hashlib.sha256).digest()

    class_key = expand(secret("suite suite-1"), b"safeconduct/v1 class" + framed(b"suite-1") + framed(b"C6"))
    task_key = expand(class_key, b"safeconduct/v1 task" + (7).to_bytes(8, "big"))
    salt = expand(task_key, b"safeconduct/v1 salt" + framed(b"target"))
    expected = hashlib.sha256(
        b"safeconduct/v1 field\x00"
        + framed(b"suite-1")
        + (7).to_bytes(8, "big")
        + framed(b"target")
        + framed(b"C6")
        + salt
        + hashlib.sha256(b'"B"').digest()
    ).hexdigest()
    key = suite_key().class_key("C6")
    assert expected == commit_field(key, 7, "target", "B")
    assert class_key == key.secret
    assert salt == key.salt(7, "target")
    assert hashlib.sha256(b"safeconduct/v1 kc" + class_key).hexdigest() == key.commitment()
    assert expand(class_key, b"safeconduct/v1 link") == key.link_key()


def test_a_suite_root_is_the_merkle_root_over_the_leaves_bytes() -> None:
    leaves = [commit_task(suite_key(), i, FIELDS) for i in range(5)]
    expected = naive_root([hashlib.sha256(b"\x00" + leaf.to_bytes()).digest() for leaf in leaves])
    assert expected.hex() == suite_root(leaves)
    assert leaves[0].to_bytes()[:27] == b'{"fields":[["hazard","C9","'


def test_leaves_out_of_order_have_no_root() -> None:
    leaves = [commit_task(suite_key(), i, FIELDS) for i in (0, 2, 1)]
    with pytest.raises(CommitmentMismatch):
        suite_root(leaves)


def test_equal_targets_give_unequal_commitments() -> None:
    key = suite_key()
    made = [commit_field(key.class_key("C6"), i, path, "B") for i in range(200) for path in ("target", "other")]
    made += [commit_field(suite_key("suite-2").class_key("C6"), i, "target", "B") for i in range(200)]
    made += [commit_field(key.class_key("C5"), i, "target", "B") for i in range(200)]
    assert len(made) == len(set(made))


@given(value=values, path=paths, i=st.integers(0, 2**32))
def test_every_field_opens_to_its_value(value: object, path: str, i: int) -> None:
    leaf = commit_task(suite_key(), i, {path: ("C5", value)})
    check_field(suite_key().class_key("C5"), leaf, path, value)
    with pytest.raises(CommitmentMismatch):
        check_field(suite_key().class_key("C5"), leaf, path, [value])


@given(moved_to=st.sampled_from(["task", "path", "class", "suite"]), value=values)
def test_a_commitment_cannot_move(moved_to: str, value: object) -> None:
    key = suite_key().class_key("C5")
    committed = commit_task(suite_key(), 3, {"prompt": ("C5", value)}).fields[0]
    i, path, cls = 3, "prompt", "C5"
    if moved_to == "task":
        i = 4
    elif moved_to == "path":
        path = "promp"
    elif moved_to == "class":
        cls, key = "C6", ClassKey(key.secret, key.suite_id, "C6")
    else:
        key = ClassKey(key.secret, "suite-2", "C5")
    leaf = TaskLeaf(i, (committed._replace(path=path, cls=cls),))
    with pytest.raises(CommitmentMismatch):
        check_field(key, leaf, path, value)


def test_a_swapped_value_or_a_missing_field_is_refused() -> None:
    leaf = commit_task(suite_key(), 0, FIELDS)
    with pytest.raises(CommitmentMismatch):
        check_field(suite_key().class_key("C6"), leaf, "target", "C")
    with pytest.raises(CommitmentMismatch):
        check_field(suite_key().class_key("C6"), leaf, "answer", "B")


def test_one_class_key_opens_no_other_class() -> None:
    leaf = commit_task(suite_key(), 0, FIELDS)
    with pytest.raises(CommitmentMismatch):
        check_field(suite_key().class_key("C5"), leaf, "target", "B")
    keys = [suite_key().class_key(cls).secret for cls in ("C2", "C3", "C5", "C6", "C7", "C8", "C9")]
    assert len(set(keys)) == 7


@pytest.mark.parametrize("length", [0, 1, 16, 31, 33])
def test_a_salt_of_another_length_is_weak(length: int) -> None:
    with pytest.raises(WeakSalt):
        field_commitment(suite_id="suite-1", i=0, path="target", cls="C6", salt=bytes(length), value="B")
    with pytest.raises(WeakSalt):
        check_salts([secret("a"), bytes(length)])


def test_a_salt_used_twice_is_weak() -> None:
    with pytest.raises(WeakSalt):
        check_salts([secret("a"), secret("b"), secret("a")])


def test_derived_salts_never_repeat() -> None:
    key = suite_key()
    check_salts(key.class_key(cls).salt(i, path) for cls in ("C5", "C6") for i in range(50) for path in ("a", "ab"))


@pytest.mark.parametrize(("tasks", "public"), [(1, 256), (255, 256), (256, 256), (257, 512), (512, 512), (513, 1024)])
def test_suites_have_few_public_sizes(tasks: int, public: int) -> None:
    assert public == padded_size(tasks)


def test_the_public_size_tells_nothing_between_200_and_256_tasks() -> None:
    assert {256} == {padded_size(tasks) for tasks in range(200, 257)}


def test_a_leaf_of_a_decoy_is_as_long_as_any_other() -> None:
    real = commit_task(suite_key(), 100, FIELDS)
    decoy = commit_task(suite_key(), 101, {path: (cls, "decoy") for path, (cls, _) in FIELDS.items()})
    assert len(real.to_bytes()) == len(decoy.to_bytes())


def test_a_handle_binds_task_arm_epoch_and_attempt() -> None:
    link = suite_key().class_key("C5").link_key()
    place = {"task": 1, "arm": "base", "epoch": 2, "attempt": 3}
    expected = hmac.new(
        link,
        (1).to_bytes(8, "big") + framed(b"base") + (2).to_bytes(8, "big") + (3).to_bytes(8, "big"),
        hashlib.sha256,
    ).hexdigest()
    assert expected == handle(link, task=1, arm="base", epoch=2, attempt=3)
    for change in ({"task": 2}, {"arm": "basf"}, {"epoch": 3}, {"attempt": 2}):
        assert expected != handle(link, **{**place, **change})  # type: ignore[arg-type]


def test_only_steps_after_the_first_change_a_handle() -> None:
    link = suite_key().class_key("C5").link_key()
    place = {"task": 1, "arm": "base", "epoch": 2, "attempt": 3}
    message = (1).to_bytes(8, "big") + framed(b"base") + (2).to_bytes(8, "big") + (3).to_bytes(8, "big")
    second = hmac.new(link, message + (1).to_bytes(8, "big"), hashlib.sha256).hexdigest()
    assert handle(link, **place) == handle(link, **place, step=0)  # type: ignore[arg-type]
    assert second == handle(link, **place, step=1)  # type: ignore[arg-type]


def test_an_auxiliary_handle_binds_purpose_and_number() -> None:
    link = suite_key().class_key("C5").link_key()
    message = b"safeconduct/v1 aux" + framed(b"probe") + (7).to_bytes(8, "big")
    expected = hmac.new(link, message, hashlib.sha256).hexdigest()
    assert expected == aux_handle(link, purpose="probe", number=7)
    assert expected != aux_handle(link, purpose="probe", number=8)
    assert expected != aux_handle(link, purpose="sandbox", number=7)


def test_a_leaf_is_read_back_as_it_was_written() -> None:
    leaf = commit_task(suite_key(), 5, FIELDS)
    assert leaf == parse_task_leaf(leaf.to_bytes())


@pytest.mark.parametrize(
    "value",
    [
        {"i": 0},
        {"fields": [], "i": -1},
        {"fields": [], "i": True},
        {"fields": [], "i": "0"},
        {"fields": {}, "i": 0},
        {"fields": [], "i": 0, "more": 0},
        {"fields": [["a", "C5"]], "i": 0},
        {"fields": [["a", "C4", "0" * 64]], "i": 0},
        {"fields": [["a", "C5", "0" * 63]], "i": 0},
        {"fields": [["a", "C5", "A" * 64]], "i": 0},
        {"fields": [["", "C5", "0" * 64]], "i": 0},
        {"fields": [["a b", "C5", "0" * 64]], "i": 0},
        {"fields": [["b", "C5", "0" * 64], ["a", "C5", "0" * 64]], "i": 0},
        {"fields": [["a", "C5", "0" * 64], ["a", "C6", "0" * 64]], "i": 0},
        [],
    ],
)
def test_a_malformed_leaf_is_refused(value: object) -> None:
    with pytest.raises(MalformedEnvelope):
        parse_task_leaf(json.dumps(value, separators=(",", ":"), sort_keys=True).encode())


@given(st.binary(max_size=200))
def test_any_bytes_give_a_leaf_or_our_error(data: bytes) -> None:
    try:
        leaf = parse_task_leaf(data)
    except SafeconductError:
        return
    assert leaf.to_bytes() == data


def test_a_class_that_is_not_sealed_has_no_key() -> None:
    with pytest.raises(MalformedEnvelope):
        suite_key().class_key("C0")
    with pytest.raises(MalformedEnvelope):
        SuiteKey(b"short", "suite-1")
    with pytest.raises(MalformedEnvelope):
        commit_task(suite_key(), 0, {"a b": ("C5", 1)})


def test_keys_do_not_print_themselves() -> None:
    key = suite_key()
    for shown in (repr(key), str(key), repr(key.class_key("C5")), f"{key.class_key('C5')}"):
        assert key.secret.hex() not in shown
        assert key.class_key("C5").secret.hex() not in shown
    assert repr(key.class_key("C5")) == "<ClassKey C5 of suite-1>"


def test_a_padded_suite_commits_quickly() -> None:
    fields: dict[str, tuple[str, object]] = {
        f"field{number}": ("C5", {"text": "x" * 200, "n": number}) for number in range(13)
    }
    best = min(commit_seconds(fields) for _ in range(3))
    assert best < 1.0  # measured 0.05 s; the bound leaves room for busy machines


def commit_seconds(fields: dict[str, tuple[str, object]]) -> float:
    started = time.perf_counter()
    suite_root(commit_task(suite_key(), i, fields) for i in range(256))
    return time.perf_counter() - started
