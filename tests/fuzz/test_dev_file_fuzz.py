"""A file of DEV tasks comes from the other side: whatever its bytes, it is read or refused by one of our errors."""

from __future__ import annotations

from functools import cache

from hypothesis import given, strategies as st

from attestations.commitments import commit_task, suite_root
from attestations.documents.engagement import RegisteredSuite
from attestations.elicitation.dev_file import OPENED, dev_lines, read_dev
from attestations.errors import SafeconductError
from attestations.merkle import Tree, leaf_hash
from attestations.views import Opening
from tests.support.fixed_keys import suite_key

AGREEMENT = "ab" * 32


@cache
def made() -> tuple[bytes, RegisteredSuite]:
    """Return an honest file of two DEV tasks, and the suite they are of."""
    key = suite_key()
    fields = [
        {"kind": ("C5", kind), "prompt": ("C5", {"proof": i}), "target": ("C6", "B"), "note": ("C8", "x")}
        for i, kind in enumerate(("dev", "test", "dev"))
    ]
    leaves = [commit_task(key, i, item) for i, item in enumerate(fields)]
    tree = Tree(leaf_hash(leaf.to_bytes()) for leaf in leaves)
    suite = RegisteredSuite(id=key.suite_id, root=suite_root(leaves), tasks=len(leaves))
    rows = [
        (
            leaves[i],
            tree.inclusion(i, len(leaves)),
            [
                Opening(cls, i, path, key.class_key(cls).salt(i, path), value)
                for path, (cls, value) in fields[i].items()
                if cls in OPENED
            ],
        )
        for i in (0, 2)
    ]
    return dev_lines(AGREEMENT, suite, rows), suite


def test_an_honest_file_is_read_with_every_field() -> None:
    data, suite = made()
    tasks = read_dev(data, AGREEMENT, suite)
    assert [(task.i, dict(task.fields)) for task in tasks] == [
        (i, {"kind": "dev", "prompt": {"proof": i}, "target": "B"}) for i in (0, 2)
    ]


@given(st.integers(0, 1 << 20), st.binary(max_size=40), st.integers(0, 60))
def test_a_changed_file_is_refused_or_says_the_same(place: int, put: bytes, cut: int) -> None:
    data, suite = made()
    start = place % len(data)
    changed = data[:start] + put + data[start + cut :]
    try:
        tasks = read_dev(changed, AGREEMENT, suite)
    except SafeconductError:
        return
    honest = {task.i: dict(task.fields) for task in read_dev(data, AGREEMENT, suite)}
    assert all(honest[task.i] == dict(task.fields) for task in tasks)


@given(st.lists(st.integers(0, 10), max_size=12))
def test_lines_in_another_order_are_refused_or_say_the_same(order: list[int]) -> None:
    data, suite = made()
    lines = data.splitlines(keepends=True)
    try:
        tasks = read_dev(b"".join(lines[number % len(lines)] for number in order), AGREEMENT, suite)
    except SafeconductError:
        return
    assert {task.i for task in tasks} <= {0, 2}
