"""Who takes part in the demo: lab and auditor, a regulator, and two trustees who hold shares of keys."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path

from auditor_client.demo.pace import Pace
from auditor_client.demo.telling import Teller

REGULATOR = "regulator"
TRUSTEES = ("trustee-1", "trustee-2")
HOLDERS = (REGULATOR, *TRUSTEES)


def make_parties(teller: Teller, folder: Path, pace: Pace, *, scripted: bool) -> None:
    """Give everybody keys, exchange identities, and write both sides' settings."""
    teller.title("Lab, auditor, regulator and two trustees make their keys and exchange identities")
    teller.run("lab", "init", "--id", "lab.example", "--home", "lab", quiet=True)
    teller.run("auditor", "init", "--id", "auditor.example", "--home", "auditor", quiet=True)
    for name in HOLDERS:
        role = "regulator" if name == REGULATOR else "escrow"
        teller.run("identity", "new", "--role", role, "--id", f"{name}.example", "--into", name, quiet=True)
    teller.run("lab", "admit", "auditor/identity.json", "--home", "lab", quiet=True)
    shutil.copy(folder / "lab/identity.json", folder / "auditor/lab-identity.json")
    identities = [f"{name}/identity.json" for name in ("lab", "auditor", *HOLDERS)]
    teller.run("trust", *identities, "--out", "trust.json", quiet=True)
    teller.say("Everybody gets the identity files over another channel; trust.json holds their keys and nothing else.")
    teller.say(
        "The auditor names who can open what it owes: regulator and one trustee, or both trustees. Nobody alone."
    )
    _settle_lab(folder, pace, scripted=scripted)
    _settle_auditor(folder)


def _settle_lab(folder: Path, pace: Pace, *, scripted: bool) -> None:
    policy = files("auditor_client.demo").joinpath("policy.json").read_text("utf-8")
    (folder / "lab/policy.json").write_text(pace.told(policy))
    settings = folder / "lab/lab.toml"
    text = settings.read_text().replace("127.0.0.1:7443", "127.0.0.1:0")
    text = text.replace("# skew_seconds = 5", "skew_seconds = 1")
    if scripted:
        text = text.replace('kind = "llama"', 'kind = "scripted"\nscript = "script.json"', 1)
        (folder / "lab/script.json").write_text(json.dumps({"otherwise": "B"}))
    settings.write_text(f'{text}policy = "policy.json"\nreview = "manual"\n')


def _settle_auditor(folder: Path) -> None:
    (folder / "auditor/escrow.json").write_bytes(files("auditor_client.demo").joinpath("escrow.json").read_bytes())
    settings = folder / "auditor/auditor.toml"
    named = json.dumps([f"../{name}/identity.json" for name in HOLDERS])
    settings.write_text(f'recipients = {named}\nescrow = "escrow.json"\n{settings.read_text()}')
