"""Reads a stranger's files piece by piece: bounded lines, cells and documents, one digest a file, no surprises."""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from attestations.errors import FileUnusable, SuiteInvalid
from attestations.files import because, open_file, shown
from auditor_client.suites.importers.candidate import LeftOut

MAX_LINE_CHARACTERS = 1 << 20
MAX_DOCUMENT_BYTES = 256 << 20  # of a format that is one JSON document, and so is read whole
MAX_FILES = 10_000
MAX_COLUMNS = 256
ENCODINGS = ("utf-8", "utf-16", "cp1252", "latin-1", "mac-roman")
_CHUNK = 1 << 18
_DELIMITERS = ",;\t"


class SourceFile:
    """One file of a source. Its digest and size are those of what was read, once that was read to its end."""

    def __init__(self, path: Path, name: str, encoding: str) -> None:
        self.path = path
        self.name = name
        self.bytes = 0
        self._encoding = "utf-8-sig" if encoding == "utf-8" else encoding
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The SHA-256 of the bytes read so far, as hex."""
        return self._hash.hexdigest()

    def lines(self) -> Iterator[str]:
        """Give every line with its ending.

        Raises:
            FileUnusable: the file cannot be read.
            SuiteInvalid: it is not text, holds NUL characters, or a line is too long.
        """
        decoder = codecs.getincrementaldecoder(self._encoding)()
        rest = ""
        for chunk in self._chunks():
            *whole, rest = (rest + self._decoded(decoder, chunk, final=False)).split("\n")
            for line in whole:
                yield line + "\n"
            if len(rest) > MAX_LINE_CHARACTERS:
                raise self._invalid(f"a line of more than {MAX_LINE_CHARACTERS} characters", rule="size")
        rest += self._decoded(decoder, b"", final=True)
        if rest:
            yield rest

    def objects(self) -> Iterator[tuple[int, Any] | LeftOut]:
        """Give (number, value) of every line that is not blank, or why there is none. Numbers count lines, from 1."""
        for number, line in enumerate(self.lines(), start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line, object_pairs_hook=_object)
            except (ValueError, RecursionError):
                yield LeftOut(number, "not-json")
                continue
            yield LeftOut(number, "duplicate-key") if twice(value) else (number, value)

    def rows(self) -> Iterator[list[str]]:
        """Give every row of a CSV file; the delimiter is the commonest of `,`, `;` and tab in its first line.

        Raises:
            SuiteInvalid: a cell is larger than any text may be, or the file is no CSV.
        """
        lines = self.lines()
        first = next(lines, "")
        delimiter = max(_DELIMITERS, key=first.count)

        def again() -> Iterator[str]:
            yield first
            yield from lines

        reader = csv.reader(again(), delimiter=delimiter)
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error:
                raise self._invalid("a cell that never ends, or not CSV", rule="csv", line=reader.line_num) from None
            if len(row) > MAX_COLUMNS:
                raise self._invalid(f"more than {MAX_COLUMNS} columns", rule="csv", line=reader.line_num)
            yield row

    def table(self, *, wanted: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str]] | LeftOut]:
        """Give (number, cells by name) of every row below a header; names are compared without case.

        Raises:
            SuiteInvalid: a wanted column is missing; `wanted` maps names to what they are for.
        """
        rows = self.rows()
        header = [name.strip().casefold() for name in next(rows, [])]
        for name, purpose in wanted.items():
            if name not in header:
                raise self._invalid(f"there is no column `{name}`, {purpose}", rule="columns", line=1)
        yield from named(header, rows)

    def document(self) -> Any:
        """Return the whole file as one JSON value.

        Raises:
            SuiteInvalid: it is not JSON, or too large.
        """
        with suppress(OSError, ValueError):  # said where it is opened
            if self.path.stat().st_size > MAX_DOCUMENT_BYTES:
                raise self._invalid(f"larger than {MAX_DOCUMENT_BYTES >> 20} MiB", rule="size")
        parts: list[bytes] = []
        for chunk in self._chunks():
            parts.append(chunk)
            if self.bytes > MAX_DOCUMENT_BYTES:
                raise self._invalid(f"larger than {MAX_DOCUMENT_BYTES >> 20} MiB", rule="size")
        decoder = codecs.getincrementaldecoder(self._encoding)()
        text = self._decoded(decoder, b"".join(parts), final=True)
        try:
            return json.loads(text, object_pairs_hook=_object)
        except (ValueError, RecursionError):
            raise self._invalid("not JSON", rule="json") from None

    def invalid(self, message: str, *, rule: str) -> SuiteInvalid:
        """Return the error for a file as a whole."""
        return self._invalid(message, rule=rule)

    def _chunks(self) -> Iterator[bytes]:
        with open_file(self.path) as stream:
            while True:
                try:
                    chunk = stream.read(_CHUNK)
                except OSError as error:
                    raise FileUnusable(f"{self.name} cannot be read: {because(error)}", path=self.name) from None
                if not chunk:
                    return
                self.bytes += len(chunk)
                self._hash.update(chunk)
                yield chunk

    def _decoded(self, decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool) -> str:
        try:
            text = decoder.decode(chunk, final)
        except UnicodeError:
            raise self._invalid("not text in the given encoding; --encoding names another", rule="encoding") from None
        if "\0" in text:
            raise self._invalid("NUL characters: this is no text", rule="nul")
        return text

    def _invalid(self, message: str, *, rule: str, line: int = 0) -> SuiteInvalid:
        where = f"{self.name} line {line}" if line else self.name
        return SuiteInvalid(f"{where}: {message}", file=self.name, line=str(line), rule=rule)


def named(header: list[str], rows: Iterator[list[str]]) -> Iterator[tuple[int, dict[str, str]] | LeftOut]:
    """Give (number, cells by name) of every row that is not blank."""
    for number, row in enumerate(rows, start=1):
        if not any(row):
            continue
        if len(row) != len(header):
            yield LeftOut(number, "columns")
        else:
            yield number, dict(zip(header, row, strict=True))


def numbered(values: Iterable[Any]) -> Iterator[tuple[int, Any] | LeftOut]:
    """Give (number, value) of every item of a document, or why it cannot be used."""
    for number, value in enumerate(values, start=1):
        yield LeftOut(number, "duplicate-key") if twice(value) else (number, value)


def source_files(source: Path, suffixes: tuple[str, ...], encoding: str) -> list[SourceFile]:
    """Return the file, or every file below the folder that ends in one of the suffixes, in the order of their names.

    Symbolic links inside a folder are not followed: what is imported lies where it says.

    Raises:
        FileUnusable: there is no such file, or the folder holds none.
    """
    if not source.is_dir():
        return [SourceFile(source, shown(source.name), encoding)]
    found: list[Path] = []
    for folder, folders, names in os.walk(source, followlinks=False):
        folders.sort()
        found += [Path(folder, name) for name in names if name.endswith(suffixes) and not name.startswith(".")]
        if len(found) > MAX_FILES:
            raise FileUnusable(f"{shown(source)} holds more than {MAX_FILES} files", path=shown(source))
    kept = sorted(path for path in found if path.is_file() and not path.is_symlink())
    if not kept:
        raise FileUnusable(f"{shown(source)} holds no file that ends in {' or '.join(suffixes)}", path=shown(source))
    return [SourceFile(path, shown(path.relative_to(source)), encoding) for path in kept]


class Twice(dict[str, Any]):
    """An object in which a key stood twice."""


def twice(value: Any) -> bool:
    """Tell whether a key stands twice anywhere in a value."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Twice):
            return True
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Twice(found)
