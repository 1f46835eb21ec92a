"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HomeOption = Annotated[Path, typer.Option("--home", help="The auditor's folder.", envvar="SAFECONDUCT_AUDITOR_HOME")]
DEFAULT_HOME = Path("auditor")
