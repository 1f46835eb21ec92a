"""The auditor's folders that one process of Inspect asks from, and the boxes over each."""

from __future__ import annotations

import os
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from attestations.errors import ConfigurationInvalid
from attestations.files import shown
from auditor_client.home import Home
from auditor_client.integrations.inspect.boxes import Boxes
from auditor_client.integrations.open_folder import OpenFolders

PURPOSE = "inspect"
HOME_VARIABLES = ("SAFECONDUCT_HOME", "SAFECONDUCT_AUDITOR_HOME")
FOLDERS = OpenFolders(PURPOSE)
# Whether the present call's output would be put into Inspect's cache: `generate` itself is not told.
CACHING: ContextVar[bool] = ContextVar("safeconduct-inspect-caching", default=False)


@dataclass
class OpenBoxes:
    """The boxes of one process, by folder."""

    _boxes: dict[Path, Boxes] = field(default_factory=dict)

    async def open(self, path: Path) -> Boxes:
        """Return the boxes over a folder, which is opened if it is not.

        Raises:
            As `OpenFolders.open`.
        """
        folder = await FOLDERS.open(path)
        boxes = self._boxes.get(path)
        if boxes is None or boxes.folder is not folder:
            boxes = self._boxes[path] = Boxes(folder)
        return boxes

    async def close(self) -> None:
        """End every box and close every folder: what was begun ends, and the log is cosigned."""
        boxes = list(self._boxes.values())
        self._boxes.clear()
        for each in boxes:
            await each.close_all()
        await FOLDERS.close()


BOXES = OpenBoxes()


def folder_of(home: object) -> Path:
    """Return the auditor's folder: the one that is named, else that of the environment.

    Raises:
        ConfigurationInvalid: there is none.
    """
    given = home or next((value for name in HOME_VARIABLES if (value := os.environ.get(name))), None)
    if given is None:
        raise ConfigurationInvalid("no auditor's folder: say -M home=FOLDER or set SAFECONDUCT_HOME", field="home")
    path = Path(str(given)).resolve()
    if not Home(path).settings.exists():
        raise ConfigurationInvalid(f"{shown(path)} is no auditor's folder", field="home")
    return path
