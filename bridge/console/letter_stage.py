"""The files by which `bridge-dlq replay` and the process that runs the letter tell each other something."""

from enum import StrEnum
from pathlib import Path

LETTER = "letter.json"
"""The file with the letter, which the program writes."""

_STAGE, _EXIT_CODE = "stage", "exit_code"


class Stage(StrEnum):
    """The stage that the process has reached. If the app ends the process, the stage stays as it is."""

    LOADING = "loaded the app"
    RUNNING = "ran the event"

    def write(self, folder: Path) -> None:
        """Record that the process is at this stage."""
        (folder / _STAGE).write_text(self, "utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Stage":
        """Return the last stage; `LOADING` if the process recorded none."""
        file = folder / _STAGE
        return cls(file.read_text("utf-8")) if file.exists() else cls.LOADING


def write_exit_code(folder: Path, code: int) -> None:
    """Record the exit code with which the process is about to end. What the app does at the exit cannot change it."""
    (folder / _EXIT_CODE).write_text(str(int(code)), "utf-8")


def read_exit_code(folder: Path) -> int | None:
    """Return the exit code; None if the app ended the process before."""
    file = folder / _EXIT_CODE
    return int(file.read_text("utf-8")) if file.exists() else None
