"""Small Python programs that do in a box what one `exec` cannot say: a folder, variables, much input, any file.

They stand in the transcript as they were sent, before the command they start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PART_BYTES = 128 << 10  # of an input, or of a file, in one exchange
MAX_PATH = 4096  # characters
_PLAIN_CHARACTERS = 16 << 10  # of a command; what starts a program in a box takes 32 KiB, variables included
_PYTHON = ("python3", "-I", "-S", "-c")

# Its words for a program that cannot be started, and its exit codes, are those of the box's own `exec`.
_RUN = """\
import json, os, signal, sys
for number in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
if sys.argv[1] == "staged":
    staged = os.open(sys.argv[2], os.O_RDONLY)
    os.unlink(sys.argv[2])
    with open(staged, "rb", closefd=False) as file:
        said = file.readline()
    os.lseek(staged, len(said), os.SEEK_SET)
    os.dup2(staged, 0)
    os.close(staged)
else:
    said = sys.argv[2]
how = json.loads(said)
code = 126
try:
    os.chdir(how["cwd"] or ".")
    os.execvpe(how["argv"][0], how["argv"], {**os.environ, **how["env"]})
except FileNotFoundError:
    code, words = 127, "no such program or folder"
except OSError as error:
    words = "cannot start the program: " + error.strerror
except ValueError:
    words = "cannot start the program: what no program can be told"
os.write(2, words.encode() + b"\\n")
os._exit(code)
"""
_WRITE = """\
import os, sys
path, more = sys.argv[1], sys.argv[2] == "more"
try:
    if not more:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "ab" if more else "wb", buffering=0) as file:
        while data := os.read(0, 1 << 16):
            while data:
                data = data[file.write(data):]
except OSError as error:
    sys.exit(str(error.errno))
"""
_READ = """\
import os, sys
path, offset, room = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
try:
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.lseek(file, offset, os.SEEK_SET)
    while room and (data := os.read(file, room)):
        room -= len(data)
        while data:
            data = data[os.write(1, data):]
    print(os.fstat(file).st_size, file=sys.stderr)
except OSError as error:
    sys.exit(str(error.errno))
"""


@dataclass(frozen=True, repr=False)
class Start:
    """What one `exec` is asked: a command with its input, and what has to be laid in a file of the box before."""

    argv: tuple[str, ...]
    stdin: bytes
    staged: bytes | None = None


def start(
    cmd: Sequence[str], *, stdin: bytes, cwd: str | None, env: Mapping[str, str], staging: str, part: int = PART_BYTES
) -> Start:
    """Return how a command is started: as it is where that is possible, else through Python.

    Args:
        cmd: the program and its arguments.
        stdin: its whole input.
        cwd: the folder it starts in; the box's own if None.
        env: variables beside the box's own.
        staging: a path in the box for what is too long for one exchange; it is removed before the program starts.
        part: how many bytes of input one exchange carries.
    """
    said = json.dumps({"argv": list(cmd), "cwd": cwd, "env": dict(env)})
    if len(said) > _PLAIN_CHARACTERS or len(stdin) > part:
        return Start((*_PYTHON, _RUN, "staged", staging), b"", said.encode() + b"\n" + stdin)
    if cwd is not None or env or not all(is_sayable(word) for word in cmd):
        return Start((*_PYTHON, _RUN, "here", said), stdin)
    return Start(tuple(cmd), stdin)


def write(path: str, *, more: bool) -> tuple[str, ...]:
    """Return the command that writes its input to a file, or with `more` adds it to the end."""
    return (*_PYTHON, _WRITE, path, "more" if more else "first")


def read(path: str, offset: int, size: int) -> tuple[str, ...]:
    """Return the command that prints at most `size` bytes of a file, and how long the file is to stderr."""
    return (*_PYTHON, _READ, path, str(offset), str(size))


def is_sayable(word: str) -> bool:
    """Return whether a document holds a word and a program can be started with it: a model may write other things."""
    return "\0" not in word and not any("\ud800" <= sign <= "\udfff" for sign in word)
