"""Keys in escrow, and what they are for: a replay in which the auditor falls silent after the first stage."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attestations.documents.base import format_time
from attestations.errors import ExitCode, SetupError
from auditor_client.demo.pace import Pace
from auditor_client.demo.parties import HOLDERS, REGULATOR, TRUSTEES
from auditor_client.demo.telling import Teller

_FIRST = "evidence-S1.zip"
_OPENED = "escrow-release-C2.json"


def hold_shares(teller: Teller, folder: Path) -> None:
    """Let every holder check its shares, and log what they sign."""
    teller.title("Each holder checks its shares of the keys, and the log keeps their receipts")
    (folder / "receipts").mkdir()
    receipts = []
    for name in HOLDERS:
        shares = next((folder / "auditor/escrow").glob(f"*-{name}.example.json")).relative_to(folder)
        receipts.append(f"receipts/{name}.json")
        teller.run("escrow", "verify", str(shares), *_as(name), "--out", receipts[-1], quiet=True)
    teller.say("The shares of all three fit the public commitments. Alone they open nothing.")
    teller.run("auditor", "escrow-receipts", *receipts, "--home", "auditor")
    teller.proved(
        "every reader", "each holder has shares that fit; that the key they open is right, opening it will show."
    )


def vanish(teller: Teller, folder: Path, pace: Pace, delivered_at: float) -> None:
    """Release the overall figures once they are overdue, from the first file alone, without auditor and lab."""
    teller.title("Replay: the auditor vanishes after S1, and what it owes is released without it")
    teller.say("Neither auditor nor lab runs any more. All that is left is evidence-S1.zip, made before any figure.")
    teller.say(f"The policy owed the overall result to the regulator {pace.owed} seconds after delivery.")
    teller.wait(pace.overdue_after - (time.monotonic() - delivered_at), "waiting until it is overdue")
    later = format_time(datetime.now(UTC).replace(microsecond=0))
    report = _judge(teller, later, expect=int(ExitCode.DISCLOSURE_OVERDUE))
    for check in report["checks"]:
        if check["status"] == "fail":
            teller.say(f"overdue at step {check['step']}: {check['detail']} [{check['reason']}]")
    teller.proved("the regulator", f"the auditor owes it the overall result; exit code {report['exitCode']}.")

    teller.say("Regulator and first trustee each verify the file themselves before they release their shares.")
    releases = []
    for name in (REGULATOR, TRUSTEES[0]):
        releases.append(f"share-release-{name}.json")
        wanted = ("--class", "C2", "--rule", "aggregate", "--at", later)
        teller.run("escrow", "release", _FIRST, *wanted, *_as(name), "--out", releases[-1], quiet=True)
    teller.run(
        *("escrow", "combine", releases[0], "--evidence", _FIRST, *_as(REGULATOR), "--out", "alone.json"),
        expect=int(ExitCode.REFUSED),
    )
    teller.say("One holder alone opens nothing. Two of the agreed holders do.")
    teller.run(*("escrow", "combine", *releases, "--evidence", _FIRST, *_as(REGULATOR), "--out", _OPENED), quiet=True)
    report = _judge(teller, later, "--escrow", _OPENED)
    figure = report["figures"][0]
    if figure != json.loads((folder / "report-S2.json").read_text())["claims"]["results"][0]:
        raise SetupError("what the holders opened is not what stage S2 showed")
    teller.say(f"The figure {figure['id']} is {figure['value']}, the same as in stage S2. Nobody asked the auditor.")
    teller.proved("the regulator", f"the obligation is met, late and by escrow; exit code {report['exitCode']}.")


def _judge(teller: Teller, at: str, *options: str, expect: int = 0) -> dict[str, Any]:
    said = teller.run(
        *("verify", _FIRST, "--trust", "trust.json", *options, "--at", at, "--json"), expect=expect, quiet=True
    )
    report: dict[str, Any] = json.loads(said)
    return report


def _as(name: str) -> tuple[str, ...]:
    return ("--trust", "trust.json", "--home", name)
