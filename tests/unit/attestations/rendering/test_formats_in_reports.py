"""What a reader is told of formats, as text, as data and as a page: shares that were found, and none that were not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attestations.commands.reporting import write_report
from attestations.printing import print_report
from attestations.reading import NO_SWING
from tests.support.arms_audit import ArmsAudit
from tests.support.formats_audit import ARMS, formats_audit
from tests.support.reports import assert_holds
from tests.support.world import World

UNKNOWN = "how far the layout of the questions moves the others is not known"


async def told(audit: ArmsAudit, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, str, Any]:
    """Carry an audit out and return what is said of it at S2: as text, as a page, and as data."""
    try:
        await audit.run()
        await audit.finish()
        report = await audit.verify("S2")
        page, data = folder / "report.html", folder / "report.json"
        write_report(folder / "evidence-S2.zip", audit.trust, page, data=data)
    finally:
        await audit.close()
    assert_holds(report)
    print_report(report, "evidence")
    return capsys.readouterr().out, page.read_text(), json.loads(data.read_text())


async def test_every_format_is_shown_with_its_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, page, data = await told(await formats_audit(tmp_path), tmp_path, capsys)
    assert "Formats  (swing 0.5000: from 0.5000 to 1.0000, mean 0.7000 over 5)" in text
    assert "  format-roman-dot       0.5000 (gradable answers: 0.5000)\n" in text
    assert "  format-digit-bracket   0.5000\n" in text
    assert "Elicitation gap" not in text  # the shares of formats stand above
    assert text.index("  format-plain ") < text.index("  format-digit-bracket ")
    assert "5 formats: mean 70.0\u00a0%, from 50.0\u00a0% to 100.0\u00a0%" in page
    assert '<th scope="row" class="wide">format-roman-dot</th><td class="n">50.0\u00a0%</td>' in page
    assert page.count('<td class="n">50.0\u00a0%</td><td class="n">50.0\u00a0%</td></tr>') == 1
    (swing,) = data["formats"]
    assert (swing["swing"], swing["value"], swing["interpretable"]) == ("swing", "0.5000", True)
    assert swing["shares"] == {arm.id: "1.0000" if arm in (ARMS[1], ARMS[3]) else "0.5000" for arm in ARMS[1:]}
    assert swing["answered"] == {arm.id: "0.5000" if arm is ARMS[5] else "1.0000" for arm in ARMS[1:]}
    assert UNKNOWN not in text + page


async def test_a_swing_that_says_nothing_is_not_shown_as_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = await formats_audit(tmp_path, ARMS[:2])
    text, page, data = await told(audit, tmp_path, capsys)
    assert f"Formats  swing {NO_SWING}" in " ".join(text.split("\n"))
    assert NO_SWING in page
    assert "The same tasks in several formats" not in page
    assert data["formats"] == [
        {"swing": "swing", "value": None, "interpretable": False, "shares": None, "answered": None}
    ]


def test_where_no_format_was_planned_the_report_says_so_once_the_plan_is_open() -> None:
    world = World().build()
    assert [any(UNKNOWN in line for line in world.verify(stage).limitations) for stage in ("S1", "S2")] == [False, True]
