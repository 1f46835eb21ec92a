"""The weights manifest: which files a model is, bound by name, size and digest.

OpenSSF model signing v1.0 is accepted as a source of names and digests. Its subject's digest covers
the files' digests but not their names, so it is not used as the model's identity; ours is
SHA-256 over the canonical manifest.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

from pydantic import AfterValidator, Field, model_validator

from attestations.digests import Sha256, sha256
from attestations.documents.base import Count, Document, Part
from attestations.errors import FileUnusable, MalformedEnvelope, ModelIdentityMismatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_FILES = 100_000
OPENSSF_PREDICATE = "https://model_signing/signature/v1.0"
_CHUNK_BYTES = 1024 * 1024


def _relative(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or str(path) != text or ".." in path.parts or text == "." or "\\" in text or "\0" in text:
        raise ValueError("not a relative path in its one form")
    return text


FilePath = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_relative)]


class WeightsFile(Part):
    """One file of a model; `size` is in bytes, or None where the source does not tell it."""

    path: FilePath
    alg: Literal["sha256"] = "sha256"
    digest: Sha256
    size: Count | None


class WeightsManifest(Document):
    """All files of a model, sorted by path, and how they are serialised."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.weights-manifest.v1+json"

    files: tuple[WeightsFile, ...] = Field(min_length=1, max_length=MAX_FILES)
    serialization: Literal["files"] = "files"

    @model_validator(mode="after")
    def _sorted_without_repetition(self) -> WeightsManifest:
        paths = [file.path for file in self.files]
        if paths != sorted(set(paths)):
            raise ValueError("files are sorted by path and named once")
        return self

    def digest(self) -> str:
        """Return the model's identity: SHA-256 of the manifest's only form as bytes."""
        return sha256(self.to_bytes())


class WeightsFault(NamedTuple):
    """One way in which a directory is not what its manifest says."""

    path: str
    fault: Literal["missing", "unexpected", "size", "digest"]


def build_manifest(root: Path) -> WeightsManifest:
    """Hash a model file, or every file under a directory, without holding more than 1 MiB of it.

    Raises:
        FileUnusable: something cannot be read, is no regular file, is a link out of `root`, has a name that
            is not plain UTF-8, or there is nothing.
    """
    files = [_hashed(path, name) for name, path in _walk(root)]
    if not files:
        raise FileUnusable("the model's directory holds no files", file=root.name)
    if len(files) > MAX_FILES:
        raise FileUnusable("the model's directory holds too many files", file=root.name, limit=str(MAX_FILES))
    return WeightsManifest(files=tuple(sorted(files, key=lambda file: file.path)))


def check_weights(root: Path, manifest: WeightsManifest) -> None:
    """Establish that the files under `root` are exactly those of the manifest.

    Raises:
        ModelIdentityMismatch: with the first difference as `file` and `fault`, and how many there are.
        FileUnusable: as `build_manifest`.
    """
    faults = list(weights_faults(build_manifest(root), manifest))
    if faults:
        raise ModelIdentityMismatch(
            f"the weights differ from their manifest: {faults[0].fault}",
            file=faults[0].path,
            fault=faults[0].fault,
            differences=str(len(faults)),
        )


def weights_faults(found: WeightsManifest, expected: WeightsManifest) -> Iterator[WeightsFault]:
    """Yield each difference between two manifests, by path; a size that was never told differs from none."""
    ours = {file.path: file for file in found.files}
    theirs = {file.path: file for file in expected.files}
    for path in sorted(ours.keys() | theirs.keys()):
        if path not in ours:
            yield WeightsFault(path, "missing")
        elif path not in theirs:
            yield WeightsFault(path, "unexpected")
        elif theirs[path].size is not None and ours[path].size != theirs[path].size:
            yield WeightsFault(path, "size")
        elif ours[path].digest != theirs[path].digest:
            yield WeightsFault(path, "digest")


def manifest_from_openssf(statement: Mapping[str, object]) -> WeightsManifest:
    """Return the manifest that a model-signing statement's resources name; its signature is not checked here.

    The subject's digest is recomputed, so a statement that contradicts itself is refused.

    Raises:
        MalformedEnvelope: it is no such statement, or names a digest other than SHA-256.
        ModelIdentityMismatch: the subject's digest does not cover the resources.
    """
    if statement.get("predicateType") != OPENSSF_PREDICATE:
        raise MalformedEnvelope("not an OpenSSF model-signing statement", field="predicateType")
    try:
        subjects, predicate = statement["subject"], statement["predicate"]
        if not isinstance(subjects, list) or len(subjects) != 1 or not isinstance(predicate, dict):
            raise TypeError("shape")  # noqa: TRY301 - one form, one refusal
        subject = subjects[0]["digest"]["sha256"]
        files = [_resource(resource) for resource in predicate["resources"]]
        manifest = WeightsManifest(files=tuple(sorted(files, key=lambda file: file.path)))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise MalformedEnvelope(
            "the model-signing statement is not in its form, or not of whole files under SHA-256", field="predicate"
        ) from None
    covered = sha256(b"".join(bytes.fromhex(file.digest) for file in manifest.files))
    if covered != subject:
        raise ModelIdentityMismatch("the model-signing statement's subject is not of its resources", computed=covered)
    return manifest


def _resource(resource: Mapping[str, object]) -> WeightsFile:
    if resource["algorithm"] != "sha256":
        raise ValueError("algorithm")
    return WeightsFile.model_validate(
        {"path": resource["name"], "digest": resource["digest"], "size": None}, by_alias=True, by_name=False
    )


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    if not root.exists():
        raise FileUnusable("the model's files are missing", file=root.name)
    if root.is_file():
        yield root.name, root
        return
    base = root.resolve()
    for folder, folders, names in os.walk(root, onerror=_unreadable):
        for name in (*folders, *names):
            path = Path(folder) / name
            # Hubs keep weights as links into a store of theirs; inside the root that is fine, outside it
            # the digest would speak of files that are not part of what is handed over.
            if path.is_symlink() and not path.resolve().is_relative_to(base):
                raise FileUnusable("a link leads out of the model's directory", file=name)
            if path.is_symlink() and path.is_dir():
                raise FileUnusable("a link to a directory is not a file of the model", file=name)
        for name in names:
            path = Path(folder) / name
            yield path.relative_to(root).as_posix(), path


def _unreadable(error: OSError) -> None:
    raise FileUnusable(f"a directory of the model cannot be read: {error.strerror}") from None


def _hashed(path: Path, name: str) -> WeightsFile:
    try:
        name.encode()
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO would block the open forever
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            digest, size = hashlib.sha256(), 0
            while regular and (chunk := file.read(_CHUNK_BYTES)):
                digest.update(chunk)
                size += len(chunk)
        found = WeightsFile(path=name, digest=digest.hexdigest(), size=str(size))
    except OSError as error:
        raise FileUnusable(f"a file of the model cannot be read: {error.strerror}", file=path.name) from None
    except ValueError:
        raise FileUnusable("a file of the model has a name that manifests cannot hold") from None
    if not regular:
        raise FileUnusable("the model holds something that is no regular file", file=path.name)
    return found
