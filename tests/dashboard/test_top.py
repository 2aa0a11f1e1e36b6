"""`bridge-top`: the screens Now and Pool in a terminal."""

import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from bridge.console.exit_codes import ExitCode
from deferred_event_bridge.dashboard.top_drawing import drawn, sparkline
from tests.dashboard.page_site import PageSite, until
from tests.journey.site import PROGRAMS
from tests.limits import PATIENCE

TOP = str(PROGRAMS / "bridge-top")

NOW = {
    "headline": "1 queue needs help.",
    "level": "bad",
    "site": "SQLite bridge.db",
    "unreachable": "",
    "dead_letters": {"read": True, "open": 1234, "last_hour": 5},
    "troubles": [{"level": "bad", "text": "worker web1:7 is missing: last seen 2 min ago"}],
    "queues": [
        {"queue": "mail", "ready": 98765, "held": 3, "rate_in": 12.5, "rate_out": None, "consumers": 1}
        | {"judgement": "falling behind by 12.5 a second", "level": "bad"}
    ],
}
SLOT = {
    "slot": 1,
    "pid": 77,
    "event": "mail.\x1b[31mred",
    "id": "e1",
    "queue": "mail",
    "attempt": 2,
    "progress": "3 of 4",
}
WORKER = {
    "host": "web1",
    "pid": 7,
    "up_seconds": 61.0,
    "busy": 1,
    "slots_all": 4,
    "delivered": 10,
    "retried": 1,
    "dead": 0,
}
POOL = {
    "headline": "1 of 4 slots busy, in 1 worker.",
    "level": "good",
    "missing": [],
    "workers": [
        WORKER
        | {
            "retried": 1,
            "dead": 0,
            "restarts": 0,
            "state": "ready",
            "trouble": "",
            "level": "good",
            "waits": {"mail": "paused by ana"},
        }
        | {
            "slots": [
                SLOT
                | {"progress": "3 of 4", "seconds": 55.0, "deadline": 60.0, "of_deadline": 0.92, "rss": 50 * 1024**2}
            ]
        }
    ],
}


def on_a_terminal(width: int, now: Mapping[str, Any] = NOW) -> str:
    """Return the screens as they are drawn on a terminal of this width."""
    console = Console(width=width, record=True, file=open(os.devnull, "w"), markup=False)  # noqa: PTH123, SIM115
    console.print(drawn(now, POOL, {"mail": [0, 1, 5, 10]}, width))
    return console.export_text()


def test_all_that_matters_is_on_it() -> None:
    """Queues with their judgement, troubles, workers, and what runs for how long. Control characters are escaped."""
    text = on_a_terminal(200)
    for part in ("1 queue needs help.", "98,765", "falling behind by 12.5 a second", "! worker web1:7 is missing"):
        assert part in text
    for part in ("1,234 open dead letters", "web1:7", "1/4", "mail waits: paused by ana", "55 s", "50", "3 of 4"):
        assert part in text
    assert "\\x1b[31mred" in text


def test_no_line_is_wider_than_the_terminal() -> None:
    """Long cells are cut."""
    assert all(len(line) <= 60 for line in on_a_terminal(60).splitlines())


def test_a_narrow_terminal_shows_what_matters() -> None:
    """Columns that it has no room for are left out; the names, the counts and the judgement are whole."""
    text = on_a_terminal(40)
    words = text.split()
    assert {"mail", "98,765", "web1:7", "1/4", "55", "s"} <= set(words)
    assert "falling behind by 12.5 a second" in " ".join(words)


def test_a_long_judgement_takes_no_room_from_the_counts() -> None:
    """It takes several lines, and is whole."""
    why = f"held by its breaker: 5 events in a row failed alike ({'x' * 60}), and 2 probes since"
    now = NOW | {"queues": [NOW["queues"][0] | {"judgement": why}]}  # type: ignore[index]
    text = on_a_terminal(80, now)
    assert "mail   98,765        3  12.5      -        1" in text
    assert "".join(why.split()) in "".join(text.replace("mail   98,765        3  12.5      -        1", "").split())


def test_a_line_of_bars_is_relative_to_its_largest_value() -> None:
    """Zero is empty, and anything more is not."""
    assert sparkline([0, 1, 500, 1000]) == " ▁▄█"
    assert sparkline([0, 0]) == "  "
    assert sparkline([]) == ""


def top(directory: os.PathLike[str], *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `bridge-top` in a pipe."""
    return subprocess.run(
        [TOP, *words],
        cwd=directory,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_it_shows_what_the_page_shows(shop: PageSite) -> None:
    """In a pipe once; as JSON, the documents of the two screens."""
    pid = shop.worker.process.pid

    def workers(shown: str) -> list[int]:
        return [worker["pid"] for worker in json.loads(shown)["pool"]["workers"]]

    documents = json.loads(shown_by(shop, lambda shown: workers(shown) == [pid], "--json"))
    assert [queue["queue"] for queue in documents["now"]["queues"]] == ["orders", "mail", "default"]
    shown_by(shop, lambda shown: documents["now"]["headline"] in shown and f":{pid}" in shown)


def shown_by(shop: PageSite, holds: Callable[[str], bool], *words: str) -> str:
    """Run `bridge-top` until its output is as expected, and return the output: a worker without CPU does not answer in
    time."""
    outputs = list[str]()

    def is_as_expected() -> bool:
        outputs.append(top(shop.directory, *words, **shop.site.environment).stdout)
        return holds(outputs[-1])

    until(is_as_expected, lambda: outputs[-1])
    return outputs[-1]


def test_ctrl_c_gives_the_terminal_back(shop: PageSite) -> None:
    """It draws on the other screen of the terminal, and leaves that at its end."""
    ours, theirs = pty.openpty()
    environment = os.environ | shop.site.environment | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    top = subprocess.Popen([TOP], cwd=shop.directory, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen, end = b"", time.monotonic() + PATIENCE
    while b"slots busy" not in seen:
        assert time.monotonic() < end, seen
        seen += os.read(ours, 65536)
    top.send_signal(signal.SIGINT)
    while True:
        try:
            seen += os.read(ours, 65536)
        except OSError:  # the program has closed its end
            break
    assert top.wait(PATIENCE) == ExitCode.DONE
    assert seen.rstrip().endswith(b"\x1b[?1049l") or b"\x1b[?1049l" in seen[-200:]


def test_a_site_without_a_broker_is_an_error(tmp_path: os.PathLike[str]) -> None:
    """The exit code says so, and the first line too."""
    run = top(tmp_path, "--once")
    assert run.returncode == ExitCode.BROKER
    assert run.stdout.startswith("The broker cannot be asked.")
