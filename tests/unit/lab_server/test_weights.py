"""The weights manifest binds names, sizes and digests, and nothing outside the model's directory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from attestations.digests import sha256
from attestations.errors import FileUnusable, MalformedEnvelope, ModelIdentityMismatch
from lab_server.weights import OPENSSF_PREDICATE, WeightsManifest, build_manifest, check_weights, manifest_from_openssf

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    root = tmp_path / "model"
    (root / "shards").mkdir(parents=True)
    (root / "config.json").write_bytes(b"{}")
    (root / "shards" / "one.bin").write_bytes(b"1" * 3000)
    (root / "shards" / "two.bin").write_bytes(b"22")
    return root


def statement(manifest: WeightsManifest) -> dict[str, object]:
    resources = [{"name": f.path, "algorithm": "sha256", "digest": f.digest} for f in manifest.files]
    subject = sha256(b"".join(bytes.fromhex(f.digest) for f in manifest.files))
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model", "digest": {"sha256": subject}}],
        "predicateType": OPENSSF_PREDICATE,
        "predicate": {"serialization": {"method": "files", "hash_type": "sha256"}, "resources": resources},
    }


def test_a_directory_is_its_files_by_name_with_size_and_digest(model: Path) -> None:
    manifest = build_manifest(model)

    assert [(f.path, f.size) for f in manifest.files] == [
        ("config.json", "2"),
        ("shards/one.bin", "3000"),
        ("shards/two.bin", "2"),
    ]
    assert manifest.files[0].digest == sha256(b"{}")
    assert manifest == WeightsManifest.parse(manifest.to_bytes())


def test_two_files_that_swap_names_are_another_model(model: Path) -> None:
    before = build_manifest(model)
    (model / "shards" / "one.bin").rename(model / "x")
    (model / "shards" / "two.bin").rename(model / "shards" / "one.bin")
    (model / "x").rename(model / "shards" / "two.bin")

    assert before.digest() != build_manifest(model).digest()


@pytest.mark.parametrize("fault", ["missing", "unexpected", "size", "digest"])
def test_each_difference_from_the_manifest_is_named(model: Path, fault: str) -> None:
    manifest = build_manifest(model)
    check_weights(model, manifest)
    target = model / "shards" / "two.bin"
    if fault == "missing":
        target.unlink()
    elif fault == "unexpected":
        (model / "shards" / "two.bin.bak").write_bytes(b"")
    else:
        target.write_bytes(b"23" if fault == "digest" else b"222")

    with pytest.raises(ModelIdentityMismatch) as raised:
        check_weights(model, manifest)
    assert raised.value.facts["fault"] == fault
    assert raised.value.facts["differences"] == "1"


def test_a_link_inside_the_directory_is_followed_and_one_out_of_it_refused(model: Path, tmp_path: Path) -> None:
    (model / "latest.bin").symlink_to(model / "shards" / "one.bin")
    assert "latest.bin" in {f.path for f in build_manifest(model).files}

    (tmp_path / "secret").write_bytes(b"elsewhere")
    (model / "weights.bin").symlink_to(tmp_path / "secret")
    with pytest.raises(FileUnusable):
        build_manifest(model)


def test_what_is_no_regular_file_is_refused_without_waiting_for_it(model: Path) -> None:
    os.mkfifo(model / "pipe")

    with pytest.raises(FileUnusable):
        build_manifest(model)


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_no_files_are_no_model(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(FileUnusable):
        build_manifest(tmp_path / name)


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../b", "a//b", "./a", "."])
def test_a_path_that_could_lead_elsewhere_is_no_manifest(path: str) -> None:
    with pytest.raises(MalformedEnvelope):
        WeightsManifest.from_json({"files": [{"path": path, "alg": "sha256", "digest": "0" * 64, "size": "1"}]})


def test_an_openssf_statement_gives_the_same_names_and_digests(model: Path) -> None:
    ours = build_manifest(model)
    theirs = manifest_from_openssf(statement(ours))

    assert [(f.path, f.digest) for f in ours.files] == [(f.path, f.digest) for f in theirs.files]
    check_weights(model, theirs)


def test_an_openssf_statement_whose_subject_is_of_other_files_is_refused(model: Path) -> None:
    said = statement(build_manifest(model))
    said["subject"] = [{"name": "model", "digest": {"sha256": "0" * 64}}]

    with pytest.raises(ModelIdentityMismatch):
        manifest_from_openssf(said)


@pytest.mark.parametrize(
    "damage",
    [
        {"predicateType": "https://slsa.dev/provenance/v1"},
        {"predicate": {}},
        {"predicate": None},
        {"predicate": {"resources": [{"name": "a", "algorithm": "blake2b", "digest": "00"}]}},
        {"predicate": {"resources": [{"name": "../a", "algorithm": "sha256", "digest": "0" * 64}]}},
        {"subject": []},
        {"subject": [None]},
    ],
)
def test_a_statement_in_another_form_is_refused(model: Path, damage: dict[str, object]) -> None:
    with pytest.raises(MalformedEnvelope):
        manifest_from_openssf(statement(build_manifest(model)) | damage)
