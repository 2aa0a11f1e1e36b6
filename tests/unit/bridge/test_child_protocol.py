"""The messages between a pool and its children: each side reads the messages of the other and rejects anything else."""

import json

import pytest

from bridge.child_protocol import (
    FORK,
    MAX_ANSWER,
    MAX_LISTEN,
    MAX_NEWS,
    MAX_NOTE,
    MAX_ORDER,
    REQUEST_BEGUN,
    REQUEST_DROPPED,
    REQUEST_READING,
    REQUEST_SERVED,
    CannotBoot,
    CannotFork,
    Exited,
    Extend,
    Extended,
    Forked,
    Inherited,
    LeashNews,
    Listen,
    NurseryAnswer,
    Progress,
    Ready,
    nursery_options,
    read_answer,
    read_extended,
    read_leash,
    read_listen,
    read_news,
    read_report,
    write_answer,
    write_extended,
    write_listen,
    write_news,
    write_report,
)

READY = Ready("v7", {"namespace": "bridge", "broker_url": "amqp://ä/"}, 17)


@pytest.mark.parametrize("report", [READY, Ready(), CannotBoot("ImportError:\n  no module \udcff named shop")])
def test_a_report_is_read_back(report: Ready | CannotBoot) -> None:
    """A report is one line, even if its texts contain line ends, and the pool reads the same report back."""
    line = write_report(report)

    assert read_report(line.encode()) == report
    assert (line.count("\n"), line[-1]) == (1, "\n")


NO_REPORTS = [
    b"",
    b"Traceback (most recent call last):",
    b"\xff\xfe",
    pytest.param(b"[" * 100_000, id="deep"),
    b"null",
    b"[]",
    b"{}",
    b'{"failed": 7}',
    b'{"ready": null}',
    b'{"ready": {"release": null}}',
    b'{"ready": {"release": 7, "settings": {}}}',
    b'{"ready": {"release": null, "settings": []}}',
    b'{"ready": {"release": null, "settings": {"namespace": 7}}}',
]


@pytest.mark.parametrize("line", NO_REPORTS)
def test_a_line_that_is_no_report_is_none(line: bytes) -> None:
    """A line that is not a report reads as None: an app can print anything, and a child can end within a line."""
    assert read_report(line) is None


@pytest.mark.parametrize("answer", [Forked(17), CannotFork("no memory"), Exited(17, 0), Exited(17, -9)])
def test_an_answer_of_the_nursery_is_read_back(answer: NurseryAnswer) -> None:
    """An answer fits into one datagram, and the pool reads the same answer back."""
    datagram = write_answer(answer)

    assert read_answer(datagram) == answer
    assert len(datagram) <= MAX_ANSWER


@pytest.mark.parametrize(
    "document",
    [
        *({}, [], None, {"forked": "17"}, {"forked": 0}, {"forked": -1}, {"forked": True}),
        *({"exited": 17}, {"exited": 17, "status": None}, {"exited": 0, "status": 0}, {"failed": None}),
    ],
    ids=repr,
)
def test_a_datagram_that_is_no_answer_is_none(document: object) -> None:
    """The pool takes no process id from an invalid datagram: a signal to 0, -1 or 1 would hit other processes."""
    assert read_answer(json.dumps(document).encode()) is None
    assert read_answer(json.dumps(document).encode()[:-1]) is None


@pytest.mark.parametrize(
    ("data", "news"),
    [
        (REQUEST_BEGUN, LeashNews(0, "busy")),
        (REQUEST_SERVED, LeashNews(1, "idle")),
        (REQUEST_BEGUN + REQUEST_SERVED + REQUEST_BEGUN, LeashNews(1, "busy")),
        (REQUEST_SERVED + REQUEST_BEGUN + REQUEST_SERVED, LeashNews(2, "idle")),
        (REQUEST_READING, LeashNews(0, "reading")),
        (REQUEST_READING + REQUEST_DROPPED, LeashNews(0, "idle")),
        (REQUEST_BEGUN + REQUEST_READING + REQUEST_BEGUN, LeashNews(0, "busy")),
        (REQUEST_BEGUN + REQUEST_SERVED + REQUEST_READING, LeashNews(1, "reading")),
        (b"", LeashNews(0, "idle")),
        (b"x", LeashNews(0, "idle")),
    ],
)
def test_the_leash_counts_requests(data: bytes, news: LeashNews) -> None:
    """The pool counts served requests correctly if several bytes arrive together."""
    assert read_leash(data) == news


@pytest.mark.parametrize("order", [Listen(), Listen(("10.0.0.0/8", "fd00::/8"))])
def test_an_order_to_listen_arrives_as_it_was_sent(order: Listen) -> None:
    """The networks arrive, and the order is short enough for its reader."""
    assert read_listen(write_listen(order)) == order
    assert len(write_listen(order)) <= MAX_LISTEN


@pytest.mark.parametrize("data", [b"", b"L", b"{}", b'{"listen": {}}', b'{"listen": {"allow": [1]}}', b"[" * 5000])
def test_other_bytes_are_no_order(data: bytes) -> None:
    """A child that reads them ends, and takes no connection."""
    assert read_listen(data) is None


def test_the_options_name_the_descriptors() -> None:
    """The options name each descriptor except `output`, which a started program has as its stdout and stderr."""
    assert Inherited(serve=3, control=4, stacks=5, output=6, news=9, tokens=10).options() == (
        *("--fd", "3", "--control", "4", "--stacks", "5", "--news", "9", "--tokens", "10"),
    )
    assert nursery_options(orders=7, control=8) == ("--nursery", "7", "--control", "8")
    assert len(FORK) <= MAX_ORDER


@pytest.mark.parametrize(
    "news",
    [
        Progress("the-id", 3, 10, "resizing"),
        Progress("the-id", 0.5, None, ""),
        Progress("i" * 255, 1, 1, "\U0001f600" * MAX_NOTE),
        Extend("the-id", 7, 30.0),
    ],
)
def test_news_arrive_as_they_were_sent(news: Progress | Extend) -> None:
    """Every news that a child sends is short enough for its reader."""
    assert read_news(write_news(news)) == news
    assert len(write_news(news)) <= MAX_NEWS


@pytest.mark.parametrize("granted", [True, False])
def test_an_answer_arrives_as_it_was_sent(granted: bool) -> None:
    """With the number of its request."""
    assert read_extended(write_extended(Extended(7, granted))) == Extended(7, granted)


HOSTILE = [
    b"",
    b"hello",
    b"[" * 4000,
    b'{"progress": {}}',
    b'{"progress": {"id": 5, "done": 1, "total": 2, "note": ""}}',
    b'{"progress": {"id": "a", "done": true, "total": 2, "note": ""}}',
    b'{"progress": {"id": "a", "done": 1e999, "total": 2, "note": ""}}',
    b'{"progress": {"id": "a", "done": NaN, "total": 2, "note": ""}}',
    b'{"progress": {"id": "a", "done": 1, "total": 1' + b"0" * 400 + b', "note": ""}}',
    b'{"progress": {"id": "a", "done": 1, "total": "2", "note": ""}}',
    b'{"progress": {"id": "a", "done": 1, "total": 2, "note": 3}}',
    b'{"extend": {"id": "a", "number": 1, "seconds": -5}}',
    b'{"extend": {"id": "a", "number": 1, "seconds": Infinity}}',
    b'{"extend": {"id": "a", "number": "1", "seconds": 5}}',
    b'{"progress": {"id": "a", "done": 1, "total": 2, "note": "' + b"x" * MAX_NEWS + b'"}}',
]


@pytest.mark.parametrize("datagram", HOSTILE)
def test_other_datagrams_are_no_news(datagram: bytes) -> None:
    """A child can write anything; the worker drops what is no news and goes on."""
    assert read_news(datagram) is None
    assert read_extended(datagram) is None


def test_a_long_note_is_cut() -> None:
    """A hostile child's note takes no more room in the status than another's."""
    news = read_news(b'{"progress": {"id": "a", "done": 1, "total": 2, "note": "' + b"x" * 2000 + b'"}}')
    assert isinstance(news, Progress)
    assert news.note == "x" * MAX_NOTE
