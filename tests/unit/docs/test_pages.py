"""Each page leads where it says, and is as short as it should be."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from docs.outside_links import without_outside_links
from docs.page_index import llms_txt, with_toctrees
from tests.unit.docs.markdown import DOCS, PAGES, README, ROOT, anchors, links, rows, section, spans

LINKING = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
INDEX = ROOT / "docs" / "index.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
FOLDERS = ("bridge/", "app_adapter/", "worker/", "dead_letter/", "tests/", "deferred_event_bridge/")


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """A relative link names a file of the repository, and an anchor is a heading of that file."""
    for link in links(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_once_in_the_index() -> None:
    """`docs/index.md` is the list of all pages, and the README leads to it."""
    assert INDEX in {(ROOT / link).resolve() for link in links(README)}
    assert sorted(INDEX.parent / link for link in links(INDEX)) == [page for page in DOCS if page != INDEX]


def test_the_site_has_each_page_in_its_navigation() -> None:
    """Each section of the index gets a toctree with its pages."""
    text = with_toctrees(INDEX.read_text("utf-8"))
    listed = [line for block in re.findall(r"^```\{toctree\}\n(.*?)^```$", text, re.M | re.S) for line in block.split()]
    assert {page.stem for page in DOCS} - {"index"} <= set(listed)
    assert listed.count(":caption:") == text.count("\n## ")


def test_llms_txt_has_a_line_for_each_page() -> None:
    """With a link to its Markdown, and what it is about."""
    lines = re.findall(r"^- \[.+\]\(_sources/(.+)\.md\.txt\): .+$", llms_txt(INDEX.read_text("utf-8")), re.M)
    assert sorted(lines) == [page.stem for page in DOCS if page != INDEX]


def test_a_link_to_a_file_of_the_repository_becomes_its_name_on_the_site() -> None:
    """The site has no such file."""
    assert without_outside_links("see [b.c](../a/b.c#part) and [page](page.md)") == (
        "see b.c (`a/b.c` in the repository) and [page](page.md)"
    )
    assert without_outside_links("see [a/b.md](../a/b.md)") == "see `a/b.md`"


def test_the_readme_is_short() -> None:
    """A newcomer has two minutes."""
    assert len(README.read_text("utf-8").splitlines()) <= 250


@pytest.mark.parametrize("page", [*LINKING, ROOT / "Dockerfile"], ids=lambda page: page.name)
def test_nobody_installs_a_name_that_is_not_ours(page: Path) -> None:
    """The package index has no deferred-event-bridge of ours; somebody else may take the name."""
    assert "pip install deferred-event-bridge" not in page.read_text("utf-8")


def test_the_files_that_the_architecture_names_exist() -> None:
    """Each path in a code span, with `*` for any name."""
    named = {span for span in spans(ARCHITECTURE) if span.startswith(FOLDERS)}
    assert len(named) > 40
    assert [path for path in named if not list(ROOT.glob(path.rstrip("/")))] == []


def test_the_figures_are_those_of_the_benchmarks() -> None:
    """`make bench` renews RESULTS.md, and the README's comparison follows it, with the best queue of each peer."""
    comparison = section(README, "Why not Celery or Dramatiq?")
    table = {row[0]: row[1:] for row in rows(comparison)}
    who = ("this project, RabbitMQ", "Celery", "Dramatiq")
    pace = "Latency at 50 events a second"

    rates = [best("Events a second", each, max) for each in who]
    assert [cell.partition(", ")[0] for cell in table["events/s on RabbitMQ"]] == rates
    assert table["from sending to the handler, p50"] == [f"{best(pace, each, min)} ms" for each in who]
    sends = [best("Sending", each, min, confirmed=True) for each in who]
    assert table["a confirmed send, p50"] == [f"{milliseconds} ms" for milliseconds in sends]
    assert f"{best('Events a second', 'this project, SQLite', max)} events/s" in comparison
    assert f"{best('Events a second', 'Huey, fsync', max)} no-op tasks/s with fsync" in comparison


def best(heading: str, who: str, choose: Callable[..., str], *, confirmed: bool = False) -> str:
    """Return the best median of the first figure below a heading of RESULTS.md, of the contenders of this name."""
    found = [row for row in rows(section(ROOT / "benchmarks" / "RESULTS.md", heading)) if row[0].startswith(who)]
    medians = [_median(row[5]) for row in found if not confirmed or row[1] == "confirmed"]
    return choose(medians, key=lambda figure: float(figure.replace(",", "")))


def _median(cell: str) -> str:
    """Return the median of a cell: a figure, or `minimum – median – maximum`."""
    figures = cell.split(" – ")
    return figures[len(figures) // 2]
