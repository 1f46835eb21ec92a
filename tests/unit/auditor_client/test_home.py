"""The auditor's folder: what `init` makes, and what bad settings say."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from attestations.errors import ConfigurationInvalid, FileUnusable
from auditor_client.home import Home, create_home
from auditor_client.settings import Settings, load_settings
from auditor_client.transport.channel import spki_digest
from tests.support.audit_world import START


def test_init_makes_keys_only_their_owner_can_read(tmp_path: Path) -> None:
    home = Home(tmp_path / "auditor")
    identity = create_home(home, party="auditor.example", now=START)

    modes = {stat.S_IMODE(path.stat().st_mode) for path in (home.path / "keys").iterdir()}
    assert {0o600} == modes
    assert identity == home.read_identity()
    assert [key.use for key in identity.keys] == ["agreement", "exchange", "publication", "cosign"]
    assert len(spki_digest((identity.tls or "").encode())) == 64
    assert home.read_keys().exchange.key.party == "auditor.example"


def test_the_settings_that_init_writes_are_the_defaults(tmp_path: Path) -> None:
    home = Home(tmp_path / "auditor")
    create_home(home, party="auditor.example", now=START)

    assert Settings() == load_settings(home.settings)


def test_every_commented_default_is_a_real_setting(tmp_path: Path) -> None:
    home = Home(tmp_path / "auditor")
    create_home(home, party="auditor.example", now=START)
    text = home.settings.read_text()
    lines = [line.removeprefix("# ") if " = " in line or line.startswith("# [") else line for line in text.splitlines()]
    home.settings.write_text("\n".join(line for line in lines if "SAFECONDUCT" not in line))

    settings = load_settings(home.settings)

    assert (settings.run.variant, settings.recipients) == ("deployed", ("regulator-identity.json",))


def test_init_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "something").write_text("mine")

    with pytest.raises(FileUnusable, match="not empty"):
        create_home(Home(tmp_path), party="auditor.example", now=START)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("lanse = 3", "lanse"),
        ("[run]\nlanes = 0", "run.lanes"),
        ("[run]\nlanes = 'many'", "run.lanes"),
        ("[lab]\naddress = 7443", "lab.address"),
        ("this is not toml", "TOML"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "auditor.toml"
    path.write_text(text)

    with pytest.raises(ConfigurationInvalid, match=named):
        load_settings(path)


def test_missing_settings_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match="auditor init"):
        load_settings(tmp_path / "auditor.toml")


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "auditor.toml"
    path.write_text("[run]\nlanes = 3\n")
    monkeypatch.setenv("SAFECONDUCT_AUDITOR_RUN__LANES", "5")

    assert load_settings(path).run.lanes == 5


def test_a_damaged_suite_key_is_named(tmp_path: Path) -> None:
    home = Home(tmp_path / "auditor")
    create_home(home, party="auditor.example", now=START)
    home.key_file("suite").write_text("half")

    with pytest.raises(FileUnusable, match="suite key"):
        home.read_suite_key("suite")
