"""Every parser a stranger's bytes can reach, as one fuzz target: `python -m tests.fuzz.fuzz_target [seconds]`.

With `atheris` installed the same target is driven by coverage; without it by random mutations of real evidence.
"""

from __future__ import annotations

import importlib
import importlib.util
import random
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from io import BytesIO

from attestations.adjudication.case import Case, parse_case
from attestations.bundle import parse_bundle
from attestations.canonical import parse_canonical
from attestations.checkpoint import parse_checkpoint
from attestations.commitments import parse_task_leaf
from attestations.container import Container
from attestations.documents.base import Document
from attestations.envelope import parse_envelope
from attestations.errors import PRECEDENCE, ExitCode, SafeconductError
from attestations.identity import parse_identity
from attestations.log_entries import parse_entry
from attestations.notes import parse_note
from attestations.packages import iter_package
from attestations.statement import parse_statement
from attestations.trust import parse_trust
from attestations.views import parse_line
from tests.support.world import World, check, packed
from tests.support.world_agreement import trust
from tests.support.world_suite import make_tasks
from tests.support.world_views import all_but

Parser = Callable[[bytes], object]
_INTERESTING = (
    b"\0",
    b"\xff",
    b'"',
    b"{",
    b"[",
    b"9" * 20,
    b"-1",
    b"1e9",
    b"\\ud800",
    b"null",
    b"\n",
    b"=",
    b"PK\x05\x06",
)


def documents(base: type[Document] = Document) -> list[type[Document]]:
    """Return every kind of signed document."""
    return [found for child in base.__subclasses__() for found in (child, *documents(child))]


def _container(data: bytes) -> object:
    container = Container(BytesIO(data))
    return [sum(map(len, container.blocks(name))) for name in container.names]


def parsers() -> dict[str, Parser]:
    """Return every parser by name."""
    return {
        "canonical": parse_canonical,
        "envelope": parse_envelope,
        "bundle": parse_bundle,
        "statement": parse_statement,
        "entry": parse_entry,
        "task leaf": parse_task_leaf,
        "note": parse_note,
        "checkpoint": lambda data: parse_checkpoint(parse_note(data)),
        "trust": parse_trust,
        "identity": parse_identity,
        "view": parse_line,
        "case": parse_case,
        "container": _container,
        "package": lambda data: list(iter_package([data])),
        **{kind.__name__: kind.parse for kind in documents()},
    }


@cache
def evidence() -> Mapping[str, bytes]:
    """Return the members of a small evidence file of the last stage."""
    world = World(tasks=make_tasks(10, size=12))
    place = world.steps.index(("release", "S5", "C8", "REGULATOR"))
    world.steps[place] = ("release", "S5", "C8", "REGULATOR", all_but(1, 2))
    members = world.members("S5", "REGULATOR")
    return {"index.dsse.json": world.index(members, "S5", "REGULATOR"), **members}


@cache
def corpus() -> tuple[bytes, ...]:
    """Return real bytes of every form."""
    members = evidence()
    log = members["log.jsonl"].splitlines()
    entries = [document for line in log for document in parse_entry(line).documents]
    case = Case(parse_envelope(members["agreement.dsse.json"]), entries[:4], [members["checkpoint.txt"].decode()])
    return (
        *members.values(),
        *log[:8],
        *log[-3:],
        *members["suite-leaves.jsonl"].splitlines()[:2],
        *members["view.jsonl"].splitlines()[:3],
        *{document.payload_type: document.payload for document in entries}.values(),
        parse_envelope(members["agreement.dsse.json"]).payload,
        parse_bundle(members["attestation.sigstore.json"]).payload,
        trust().model_dump_json(by_alias=True).encode(),
        case.to_bytes(),
        packed(members),
    )


def run_parsers(data: bytes) -> None:
    """Give bytes to every parser; anything but a value or our error is a bug."""
    for parse in parsers().values():
        with suppress(SafeconductError):
            parse(data)


def run_verifier(data: bytes) -> ExitCode:
    """Verify bytes; a traceback or an undocumented exit code is a bug."""
    code = check(data).exit_code
    if code is not ExitCode.OK and code not in PRECEDENCE:
        raise AssertionError(f"exit code {int(code)} is not documented")
    return code


def mutated(source: random.Random) -> bytes:
    """Return real bytes with a few random changes."""
    data = bytearray(source.choice(corpus()))
    for _ in range(source.randint(1, 6)):
        place = source.randrange(len(data) + 1)
        match source.randrange(5):
            case 0 if data:
                data[place % len(data)] ^= 1 << source.randrange(8)
            case 1:
                data[place:place] = source.choice(_INTERESTING)
            case 2:
                del data[place : place + source.randint(1, 64)]
            case 3:
                other = source.choice(corpus())
                start = source.randrange(len(other))
                data[place : place + 32] = other[start : start + 32]
            case _:
                data[place:place] = data[place : place + source.randint(1, 40)]
    return bytes(data)


def mutated_evidence(source: random.Random) -> bytes:
    """Return an archive of the one form, one of whose members has been changed."""
    members = dict(evidence())
    name = source.choice(sorted(members))
    data = bytearray(members[name])
    place = source.randrange(len(data))
    data[place : place + source.randint(0, 8)] = source.choice(_INTERESTING)
    return packed(members | {name: bytes(data)})


def main(seconds: float) -> None:
    """Fuzz for a while and say how much was tried."""
    if importlib.util.find_spec("atheris") is not None:
        atheris = importlib.import_module("atheris")
        atheris.Setup(sys.argv[:1], run_parsers)
        atheris.Fuzz()
        return
    seed = time.time_ns()
    source, end, tried = random.Random(seed), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        run_parsers(mutated(source))
        run_verifier(mutated_evidence(source))
        tried += 1
    print(f"{tried} inputs, no surprise (seed {seed})")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
