"""Vectors for commitments, leaves, suite roots and handles."""

from __future__ import annotations

from typing import Any

from attestations.commitments import aux_handle, commit_task, handle, padded_size, suite_root
from tests.support.fixed_keys import suite_key
from tests.vectors.families import write

CLASSES = ("C2", "C3", "C5", "C6", "C7", "C8", "C9")
TASKS: list[dict[str, tuple[str, Any]]] = [
    {"kind": ("C5", "test"), "prompt": ("C5", {"text": "2 + 2?"}), "target": ("C6", "B"), "note": ("C9", None)},
    {"kind": ("C5", "decoy"), "prompt": ("C5", {"text": "3 + 3?"}), "target": ("C6", "B"), "note": ("C9", None)},
    {"kind": ("C5", "test"), "prompt": ("C5", {"text": "grüße, \U0001f600"}), "target": ("C6", [1, True, ""])},
]


def generate() -> Any:
    """Return the vectors."""
    key = suite_key("suite-1")
    leaves = [commit_task(key, i, fields) for i, fields in enumerate(TASKS)]
    link = key.class_key("C5").link_key()
    return {
        "suite": {"id": key.suite_id, "secret": key.secret.hex()},
        "classKeys": [
            {"class": cls, "secret": key.class_key(cls).secret.hex(), "commitment": key.class_key(cls).commitment()}
            for cls in CLASSES
        ],
        "fields": [
            {
                "i": leaf.i,
                "path": field.path,
                "class": field.cls,
                "value": TASKS[leaf.i][field.path][1],
                "salt": key.class_key(field.cls).salt(leaf.i, field.path).hex(),
                "commitment": field.commitment,
            }
            for leaf in leaves
            for field in leaf.fields
        ],
        "leaves": [leaf.to_bytes().decode() for leaf in leaves],
        "root": suite_root(leaves),
        "linkKey": link.hex(),
        "handles": [
            {
                "task": task,
                "arm": arm,
                "epoch": 1,
                "attempt": 0,
                "handle": handle(link, task=task, arm=arm, epoch=1, attempt=0),
            }
            for task, arm in [(0, "base"), (1, "base"), (0, "tuned")]
        ],
        "stepHandles": [
            {
                "task": 1,
                "arm": "base",
                "epoch": 0,
                "attempt": 2,
                "step": step,
                "handle": handle(link, task=1, arm="base", epoch=0, attempt=2, step=step),
            }
            for step in (0, 1, 2)
        ],
        "auxHandles": [
            {"purpose": purpose, "number": number, "handle": aux_handle(link, purpose=purpose, number=number)}
            for purpose, number in [("fine_tune", 0), ("probe", 0), ("probe", 1), ("sandbox", 0)]
        ],
        "paddedSizes": [[tasks, padded_size(tasks)] for tasks in (1, 200, 256, 257, 1000)],
    }


if __name__ == "__main__":
    write("commitments", generate())
