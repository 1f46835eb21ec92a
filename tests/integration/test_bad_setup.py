"""Settings, keys and folders that are not what they should be: named before anything is served or sent."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from attestations.errors import ConfigurationInvalid, ExitCode, FileUnusable, KeyUnacceptable, SafeconductError
from auditor_client.app import auditor
from auditor_client.home import Home, create_home
from auditor_client.settings import load_settings as load_auditor
from lab_server.app import _check_address
from lab_server.home import new_certificate
from lab_server.settings import load_settings as load_lab
from tests.support.auditor_identity import new_keys, write_identity
from tests.support.lab_process import LabProcess, new_lab

GOOD = """
[[variant]]
id = "x"
kind = "deployed"
backend = "a"
[backend.a]
kind = "scripted"
script = "s"
"""


@pytest.mark.parametrize(
    "text",
    [
        "variant = 3",
        "backend = 3",
        'listen = "here"\n' + GOOD,
        "_cli_parse_args = true\n" + GOOD,
        '_env_file = "x"\n' + GOOD,
        GOOD + "[listen]\naddress = 3",
        GOOD + "[timing]\nreveal_seconds = -5",
        GOOD + "[timing]\nrespond_seconds = 99999999999999999999",
        GOOD + "[timing]\nskew_seconds = nan",
        GOOD + "[[auditor]]\nidentity = 3",
        GOOD + '[[auditor]]\nidentity = "x"\nrequests = 10',
        GOOD + '[[auditor]]\nidentity = "x"\nnot_after = 2026-01-01',
        GOOD + '[[auditor]]\nidentity = "x"\nnot_after = "soon"',
        GOOD + '[[auditor]]\nidentity = "x"\nnot_before = "2027-01-01T00:00:00Z"\nnot_after = "2026-01-01T00:00:00Z"',
        "a = " + "[" * 2000,
        "\x00",
    ],
)
def test_a_lab_setting_of_the_wrong_type_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationInvalid) as refused:
        load_lab(path)
    assert "\n" not in refused.value.message
    assert refused.value.message.startswith("lab.toml")


@pytest.mark.parametrize(
    "address", ["", "7443", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:²", "a\x00b:1", "é.\u00ad:1", "no such host:1"]
)
def test_an_address_nobody_can_listen_at_is_named(address: str) -> None:
    with pytest.raises(SafeconductError) as refused:
        _check_address(address)
    assert refused.value.exit_code == ExitCode.SETUP


@pytest.mark.parametrize(
    "text", ["lab = 3", "[run]\nlanes = 0", "recipients = [3]", '_env_file = "x"', "self = 1", "[lab]\nport = 3"]
)
def test_an_auditors_setting_of_the_wrong_type_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "auditor.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationInvalid, match=r"auditor\.toml"):
        load_auditor(path)


def test_settings_in_the_environment_count_and_nonsense_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lab.toml").write_text(GOOD)
    (tmp_path / "auditor.toml").write_text("")
    monkeypatch.setenv("SAFECONDUCT_LAB_TIMING__REVEAL_SECONDS", "7")
    monkeypatch.setenv("SAFECONDUCT_LAB_LISTEN__ADDRESS", "0.0.0.0:1")
    read = load_lab(tmp_path / "lab.toml")
    assert (read.timing.reveal_seconds, read.listen.address) == (7, "0.0.0.0:1")
    monkeypatch.setenv("SAFECONDUCT_LAB_LISTEN", "not json")
    with pytest.raises(ConfigurationInvalid, match="environment"):
        load_lab(tmp_path / "lab.toml")
    monkeypatch.setenv("SAFECONDUCT_AUDITOR_RUN", "not json")
    with pytest.raises(ConfigurationInvalid, match="environment"):
        load_auditor(tmp_path / "auditor.toml")


class Party:
    """An auditor's folder beside that of its lab."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "auditor")
        create_home(self.home, party="auditor.example", now=datetime.now(UTC))
        self.lab = new_lab(folder / "lab", auditors=[self.home.identity])
        (self.home.path / "lab-identity.json").write_bytes(self.lab.home.identity.read_bytes())

    async def refused(self) -> SafeconductError:
        """Return why the folder cannot be used."""
        with pytest.raises(SafeconductError) as why:
            async with auditor(self.home.path):
                pass
        assert "PRIVATE" not in why.value.message
        return why.value


@pytest.fixture
def both(tmp_path: Path) -> Party:
    return Party(tmp_path)


@pytest.mark.parametrize("use", ["agreement", "exchange", "publication", "cosign", "tls"])
async def test_an_auditors_key_that_is_not_the_one_it_gave_out_is_named(both: Party, use: str) -> None:
    key = both.home.key_file(use)
    ours = key.read_bytes()
    theirs = both.lab.home.key_file({"tls": "tls", "cosign": "log"}.get(use, "agreement"))
    key.write_bytes(theirs.read_bytes())
    swapped = await both.refused()
    assert isinstance(swapped, ConfigurationInvalid)
    assert "identity.json" in swapped.message

    key.write_bytes(ours[: len(ours) // 2])
    assert isinstance(await both.refused(), ConfigurationInvalid | KeyUnacceptable)

    key.write_bytes(ours)
    key.chmod(0o640)
    assert "chmod 600" in (await both.refused()).message

    key.unlink()
    assert isinstance(await both.refused(), FileUnusable)


async def test_identity_files_that_were_swapped_are_named(both: Party) -> None:
    """The lab's identity in the place of ours and ours in the place of the lab's."""
    mine, theirs = both.home.identity, both.home.path / "lab-identity.json"
    kept = mine.read_bytes()
    mine.write_bytes(theirs.read_bytes())
    assert isinstance(await both.refused(), ConfigurationInvalid)
    mine.write_bytes(kept)
    theirs.write_bytes(kept)
    assert "not the identity of a lab" in (await both.refused()).message


async def fails(lab: LabProcess, *words: str) -> str:
    """Run a command of the lab's that must fail, and return its one sentence."""
    code, out, errors = await lab.command(*words)
    assert (code, out, errors.count("\n")) == (ExitCode.SETUP, "", 1), errors
    return errors


async def test_a_lab_whose_tls_key_is_anothers_says_so_before_it_serves(both: Party) -> None:
    tls = both.lab.home.key_file("tls")
    kept = tls.read_bytes()
    tls.write_bytes(new_certificate("lab.example", now=datetime.now(UTC))[0])
    assert "not the key of the certificate" in await fails(both.lab, "serve")
    tls.write_bytes(kept[:100])
    assert "not a private key" in await fails(both.lab, "serve")


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("operations = []", "operations"),
        ('variants = ["gone"]', "not declared"),
        ('policy = "lab.toml"', "not JSON"),
        ('policy = "gone.json"', "cannot be read"),
    ],
)
async def test_terms_that_cannot_be_offered_are_named_when_the_lab_starts(
    tmp_path: Path, line: str, named: str
) -> None:
    lab = new_lab(tmp_path / "lab", auditors=[write_identity(new_keys(), tmp_path)], grant=line + "\n")
    assert named in await fails(lab, "serve")


@pytest.mark.parametrize("name", ["", "two words", "é", "a" * 200])
def test_a_name_that_is_none_leaves_no_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="a name is"):
        create_home(Home(tmp_path / "auditor"), party=name, now=datetime.now(UTC))
    with pytest.raises(ConfigurationInvalid, match="a name is"):
        new_lab(tmp_path / "lab", auditors=[], party=name)
    assert not list(tmp_path.iterdir())


async def test_admitting_into_a_full_or_strange_place_leaves_the_settings_whole(both: Party, tmp_path: Path) -> None:
    before = both.lab.home.settings.read_bytes()
    shutil.rmtree(both.lab.home.auditors)
    both.lab.home.auditors.write_text("in the way")
    other = write_identity(new_keys("other.example"), tmp_path)
    assert "auditors" in await fails(both.lab, "admit", str(other))
    assert both.lab.home.settings.read_bytes() == before
