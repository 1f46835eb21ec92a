"""The evidence file: a zip archive with exactly one form, so that no bit of it is free.

Members are stored, in the order of `MEMBER_NAMES`, with fixed header fields; there are no comments, extra
fields, data descriptors, zip64 records or gaps. Anything else is refused before a member is read, in
bounded memory. Any unzip program can open the result. `docs/spec/evidence.md` is the normative page.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

from attestations.errors import EvidenceMissing, MalformedEnvelope, SizeLimitExceeded

MEMBER_NAMES = (
    "index.dsse.json",
    "attestation.sigstore.json",
    "agreement.dsse.json",
    "checkpoint.txt",
    "checkpoints.jsonl",
    "log.jsonl",
    "suite-leaves.jsonl",
    "grade-leaves.jsonl",
    "packages/C2.sealed",
    "packages/C3.sealed",
    "packages/C5.sealed",
    "packages/C6.sealed",
    "packages/C7.sealed",
    "packages/C8.sealed",
    "keys.json",
    "view.jsonl",
    "pack.dsse.json",
    "acknowledgement.dsse.json",
)
MAX_CONTAINER_BYTES = 2**32 - 2**20  # zip without zip64 cannot say more
MAX_LINE_BYTES = 262_144  # a suite leaf of the largest schema is 4 KiB, a log leaf 64 KiB
_COPY_BYTES = 1 << 20

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_MAX_DIRECTORY_BYTES = sum(_CENTRAL.size + len(name) for name in MEMBER_NAMES)
_VERSION = 20
_DOS_DATE = 0x0021  # 1980-01-01, the zip epoch: an evidence file says its times in signed documents only


Watch = Callable[[str, int, int], None]
"""Hears what is being worked on, how much of it is done and how much there is, in units of its own."""


class Member(NamedTuple):
    """One file inside an evidence file: where its bytes lie and what the archive says about them."""

    name: str
    offset: int
    size: int
    crc: int


class Source(NamedTuple):
    """A member to be written; `open` gives its bytes from the start each time it is called."""

    name: str
    open: Callable[[], BinaryIO]


def write_container(out: BinaryIO, sources: Sequence[Source]) -> None:
    """Write an evidence file to `out`; every source is read twice and never held in memory.

    Raises:
        SizeLimitExceeded: the result would pass 4 GiB.
        ValueError: the members are not some of `MEMBER_NAMES` in their order.
    """
    names = [source.name for source in sources]
    if names != [name for name in MEMBER_NAMES if name in names]:
        raise ValueError("members out of order")
    members: list[Member] = []
    position = 0
    for source in sources:
        with source.open() as stream:
            crc, size = _measure(stream)
        header = _local_header(source.name, size, crc)
        if position + len(header) + size > MAX_CONTAINER_BYTES:
            raise SizeLimitExceeded("an evidence file holds less than 4 GiB", member=source.name)
        out.write(header)
        position += len(header)
        members.append(Member(source.name, position, size, crc))
        with source.open() as stream:
            while block := stream.read(_COPY_BYTES):
                out.write(block)
        position += size
    out.write(_directory(members, position))


class Container:
    """An evidence file whose layout has been checked; its contents have not."""

    def __init__(self, stream: BinaryIO, watch: Watch | None = None) -> None:
        """Check the layout of a seekable stream; `watch` hears of every part that is read.

        Raises:
            MalformedEnvelope: it is not an archive of the one form.
            SizeLimitExceeded: it is larger than the form allows.
        """
        self._stream = stream
        self._watch = watch
        self._members = {member.name: member for member in _read_layout(stream)}

    @property
    def names(self) -> tuple[str, ...]:
        """The members that are there, in order."""
        return tuple(self._members)

    def size(self, name: str) -> int:
        """Return the number of bytes of a member."""
        return self._member(name).size

    def blocks(self, name: str) -> Iterator[bytes]:
        """Give a member's bytes in blocks; the last step checks the archive's checksum.

        Raises:
            EvidenceMissing: there is no such member.
            MalformedEnvelope: the bytes are not those the archive lists.
        """
        member = self._member(name)
        position, crc = 0, 0
        while position < member.size:
            self._stream.seek(member.offset + position)
            block = self._stream.read(min(_COPY_BYTES, member.size - position))
            if not block:
                raise MalformedEnvelope("the evidence file ends early", member=name)
            position += len(block)
            crc = zlib.crc32(block, crc)
            if self._watch is not None:
                self._watch(name, position, member.size)
            yield block
        if crc != member.crc:
            raise MalformedEnvelope(f"{name} is damaged: its checksum does not match", member=name)

    def part(self, name: str, start: int, size: int) -> bytes:
        """Return a part of a member, whose checksum `blocks` checks and this does not."""
        member = self._member(name)
        if self._watch is not None:
            self._watch(name, start, member.size)
        self._stream.seek(member.offset + start)
        return self._stream.read(min(size, member.size - start))

    def read(self, name: str, *, limit: int) -> bytes:
        """Return all bytes of a member of at most `limit` bytes."""
        if self.size(name) > limit:
            raise SizeLimitExceeded(f"{name} is larger than {limit} bytes", member=name)
        return b"".join(self.blocks(name))

    def lines(self, name: str) -> Iterator[bytes]:
        """Give a member's lines without their line feeds; the last line ends with one as well."""
        rest = b""
        for block in self.blocks(name):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                if len(line) > MAX_LINE_BYTES:
                    raise SizeLimitExceeded(f"{name} has a line over {MAX_LINE_BYTES} bytes", member=name)
                yield line
            if len(rest) > MAX_LINE_BYTES:
                raise SizeLimitExceeded(f"{name} has a line over {MAX_LINE_BYTES} bytes", member=name)
        if rest:
            raise MalformedEnvelope(f"{name} does not end with a line feed", member=name)

    def _member(self, name: str) -> Member:
        try:
            return self._members[name]
        except KeyError:
            raise EvidenceMissing(f"the evidence file has no {name}", member=name) from None


def _measure(stream: BinaryIO) -> tuple[int, int]:
    crc, size = 0, 0
    while block := stream.read(_COPY_BYTES):
        crc = zlib.crc32(block, crc)
        size += len(block)
    return crc, size


def _local_header(name: str, size: int, crc: int) -> bytes:
    encoded = name.encode()
    return _LOCAL.pack(b"PK\x03\x04", _VERSION, 0, 0, 0, _DOS_DATE, crc, size, size, len(encoded), 0) + encoded


def _directory(members: Sequence[Member], position: int) -> bytes:
    entries = b""
    for member in members:
        encoded = member.name.encode()
        start = member.offset - _LOCAL.size - len(encoded)
        entries += (
            _CENTRAL.pack(
                b"PK\x01\x02",
                _VERSION,
                _VERSION,
                0,
                0,
                0,
                _DOS_DATE,
                member.crc,
                member.size,
                member.size,
                len(encoded),
                0,
                0,
                0,
                0,
                0,
                start,
            )
            + encoded
        )
    end = _END.pack(b"PK\x05\x06", 0, 0, len(members), len(members), len(entries), position, 0)
    return entries + end


def _read_layout(stream: BinaryIO) -> list[Member]:
    total = stream.seek(0, 2)
    if total > MAX_CONTAINER_BYTES + 65_536:
        raise SizeLimitExceeded("an evidence file is smaller than 4 GiB")
    if total < _END.size:
        raise MalformedEnvelope("not an evidence file: too short to be an archive")
    stream.seek(total - _END.size)
    magic, _, _, _, count, directory_size, directory_start, comment = _END.unpack(stream.read(_END.size))
    if magic != b"PK\x05\x06" or comment:
        raise MalformedEnvelope("not an evidence file: no plain archive directory at its end")
    if not 1 <= count <= len(MEMBER_NAMES) or directory_start + directory_size + _END.size != total:
        raise MalformedEnvelope("not an evidence file: its archive directory is not where it must be")
    if directory_size > _MAX_DIRECTORY_BYTES:
        raise MalformedEnvelope("not an evidence file: its archive directory is larger than it can be")
    stream.seek(directory_start)
    directory = stream.read(directory_size)
    members = _read_directory(directory, count)
    # One comparison rules out every trick at once: the directory and each header must be what we would write.
    position = 0
    stream.seek(0)
    for member in members:
        header = _local_header(member.name, member.size, member.crc)
        if member.offset != position + len(header):
            raise MalformedEnvelope("not an evidence file: its members overlap or leave gaps", member=member.name)
        stream.seek(position)
        if stream.read(len(header)) != header:
            raise MalformedEnvelope("not an evidence file: a member's header is not in its one form")
        position = member.offset + member.size
    if position != directory_start:
        raise MalformedEnvelope("not an evidence file: bytes that belong to no member")
    stream.seek(directory_start)
    if stream.read() != _directory(members, position):
        raise MalformedEnvelope("not an evidence file: its archive directory is not in its one form")
    return members


def _read_directory(directory: bytes, count: int) -> list[Member]:
    members: list[Member] = []
    position = 0
    for _ in range(count):
        if position + _CENTRAL.size > len(directory):
            raise MalformedEnvelope("not an evidence file: its archive directory is cut short")
        fields = _CENTRAL.unpack_from(directory, position)
        magic, crc, size, name_length, start = fields[0], fields[7], fields[9], fields[10], fields[16]
        name = directory[position + _CENTRAL.size :][:name_length].decode("ascii", errors="replace")
        if magic != b"PK\x01\x02" or name not in MEMBER_NAMES:
            raise MalformedEnvelope("not an evidence file: a member that does not belong there")
        members.append(Member(name, start + _LOCAL.size + name_length, size, crc))
        position += _CENTRAL.size + name_length
    names = [member.name for member in members]
    if names != [name for name in MEMBER_NAMES if name in names]:
        raise MalformedEnvelope("not an evidence file: its members are repeated or out of order")
    return members
