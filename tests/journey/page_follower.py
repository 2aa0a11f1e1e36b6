"""Follows a page of docs/ as a newcomer does: saves its files, types its commands, and compares what they print.

- A `python` or `toml` block is saved in the file that the sentence before it names last.
- A command of an `sh` block runs to its end, or goes on in a terminal of its own if it is a server; started again, the
  one that runs is stopped first, as by Ctrl-C. One that asks is run on a terminal, and answered.
  Each has to exit with 0, or with N if the paragraph before it has "exits with N"; but for `bridge-doctor`, which may
  find that something is unknown here.
- A `text` block is what the last command prints, or the worker if the paragraph before it names "the worker's
  terminal". Every line of it must come, in that order. Ids, times and process numbers are not compared. A command that
  only looks is typed again until then: the history, for one, is written a moment later.
- A picture `pictures/walk-NAME.png` is looked at when the page comes to it.
"""

import os
import pty
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.contract.dead_letter_program import shown_until
from tests.journey.site import Program

READY = {"flask": "Running on", "bridge-worker": "ready for events", "bridge-web": "The page is at"}
"""The words that each server prints when it is ready."""

LOOKS = re.compile(r"bridge-(events|status|queues list|dlq (list|show|groups|plans))\b")
"""The commands that change nothing."""

SECONDS = 180.0
_STEP = re.compile(
    r"^```(?P<language>\w+)\n(?P<text>.*?)^```$|^!\[[^\]]+\]\(pictures/walk-(?P<picture>\w+)\.png\)$",
    re.MULTILINE | re.DOTALL,
)
_VARYING = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\+00:00|Z)?", "TIME"),
    (r"^\d\d:\d\d:\d\d", "TIME"),
    (r"\d+(\.\d+)? ?(ms|s|MiB)\b", "AMOUNT"),
    (r"seconds=[\d.]+", "seconds=N"),
    (r"child=\d+", "child=N"),
    (r"[\w.-]+:\d+/\d+", "WORKER"),
    (r"process \d+", "process N"),
    (r"\d+ children", "N children"),
    (r"SQLite \S+[^\s,]", "SQLite FILE"),
    (r"\x1b\[[\d;]*m", ""),
    (r"\s+", " "),
)


@dataclass
class Follower:
    """A newcomer at a page, in a directory of their own. `replaced` is what differs on this machine."""

    directory: Path
    environment: dict[str, str]
    replaced: dict[str, str]
    skipped: Callable[[str], bool]
    answers: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    """For the commands that ask: the prompts, and what is typed then."""
    look: Callable[[str], None] = field(default=lambda name: None)
    """Called with the name of each picture."""
    running: dict[str, Program] = field(default_factory=dict)
    typed: list[str] = field(default_factory=list)
    _printed: Callable[[], str] = str

    def follow(self, page: str) -> None:
        """Do all that the page says. Raise `AssertionError` for the first thing that is not as it says."""
        for block in _STEP.finditer(page):
            if block["picture"] is not None:
                self.look(block["picture"])
                continue
            text = self._here(block["text"])
            match block["language"]:
                case "python" | "toml":
                    (self.directory / re.findall(r"`([\w.]+\.\w+)`", _paragraph(page, block))[-1]).write_text(
                        text, "utf-8"
                    )
                case "sh":
                    named = re.search(r"exits with (\d+)", _paragraph(page, block))
                    for line in text.splitlines():
                        self._type(line, int(named[1]) if named is not None else 0)
                case "text":
                    of_worker = "worker's terminal" in _paragraph(page, block)
                    self._await(text, self._of_the_worker if of_worker else self._printed)

    def _type(self, line: str, expected: int) -> None:
        self.typed.append(line)
        if self.skipped(line):
            return
        words = shlex.split(line, comments=True)
        if words[0] in READY and not {"--until-settled", "user"} & set(words):
            self._serve(words)
            return
        if "--until-settled" in words:  # the page says so: nothing else runs meanwhile
            for name in list(self.running):
                self.stop(name)
        code, printed = self._ran(line)
        assert code == expected or words[0] == "bridge-doctor", f"{line}\nexit code {code}\n{printed}"
        first_look = iter((printed,))
        self._printed = lambda: next(first_look, None) or (self._ran(line)[1] if LOOKS.match(line) else printed)

    def _ran(self, line: str) -> tuple[int, str]:
        """Run a command; return its exit code and what it printed. One that asks is run on a terminal, and answered."""
        if line not in self.answers:
            ran = subprocess.run(
                ["sh", "-c", line],
                cwd=self.directory,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,  # the caller compares the exit code
            )
            return ran.returncode, ran.stdout + ran.stderr
        terminal, other_side = pty.openpty()
        process = subprocess.Popen(
            ["sh", "-c", line],
            cwd=self.directory,
            env=self.environment,
            stdin=other_side,
            stdout=other_side,
            stderr=other_side,
            start_new_session=True,
        )
        os.close(other_side)
        printed = ""
        for prompt, answer in self.answers[line]:
            printed += shown_until(terminal, prompt, SECONDS)
            os.write(terminal, f"{answer}\n".encode())
        printed += shown_until(terminal, None, SECONDS)
        os.close(terminal)
        return process.wait(SECONDS), printed

    def _serve(self, words: list[str]) -> None:
        if words[0] in self.running:
            self.stop(words[0])
        program = Program(words, self.directory, self.environment)
        self.running[words[0]] = program
        _eventually(lambda: READY[words[0]] in program.log, lambda: program.log)
        self._printed = lambda: program.log

    def stop(self, name: str) -> None:
        """Press Ctrl-C in the terminal of this program, and wait for its end."""
        program = self.running.pop(name)
        program.signal(signal.SIGINT)
        program.process.wait(SECONDS)

    def await_worker(self, text: str) -> None:
        """Wait until the worker prints this text."""
        _eventually(lambda: text in self._of_the_worker(), self._of_the_worker)

    def _of_the_worker(self) -> str:
        return self.running["bridge-worker"].log

    def _await(self, text: str, printed: Callable[[], str]) -> None:
        shown = list(_plain(text))
        _eventually(lambda: _has(printed(), shown), lambda: f"expected:\n{text}\nprinted:\n{printed()}")

    def _here(self, text: str) -> str:
        for old, new in self.replaced.items():
            text = text.replace(old, new)
        return text


def _has(printed: str, shown: list[str]) -> bool:
    """Tell whether each line that is shown was printed, in that order."""
    lines = _plain(printed)
    return all(any(line == wanted for line in lines) for wanted in shown)


def _plain(text: str) -> Iterator[str]:
    """Yield the lines of a text that are compared, without what varies. "…" stands for lines that are left out."""
    for line in text.splitlines():
        for pattern, word in _VARYING:
            line = re.sub(pattern, word, line)
        if line.strip() not in ("", "…"):
            yield line.strip()


def _paragraph(page: str, block: re.Match[str]) -> str:
    """Return the paragraph before a block."""
    return page[: block.start()].rstrip().rpartition("\n\n")[2]


def _eventually(condition: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.05)
