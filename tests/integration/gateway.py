"""A running lab and one auditor with an agreement and a registered suite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.auditor_identity import new_keys, write_identity
from tests.support.lab_process import LabProcess, new_lab
from tests.support.small_auditor import SmallAuditor


class Audit(NamedTuple):
    """Both sides."""

    lab: LabProcess
    auditor: SmallAuditor


@asynccontextmanager
async def audited(folder: Path, **lab_options: Any) -> AsyncIterator[Audit]:
    """Start a lab, negotiate and register; afterwards the lab stops cleanly and its store holds."""
    keys = new_keys()
    lab = new_lab(folder / "lab", auditors=[write_identity(keys, folder)], **lab_options)
    await lab.start()
    auditor = SmallAuditor(keys, lab.home.identity)
    try:
        await auditor.connect(lab.address)
        await auditor.negotiate()
        await auditor.register()
        yield Audit(lab, auditor)
    finally:
        await auditor.disconnect()
        code = await lab.stop()
    assert code == 0
    checked = await lab.command("fsck")
    assert checked[::2] == (0, ""), checked
