"""The fingerprint of an error: what counts of its message and of its traceback."""

import traceback

import pytest

from bridge.failures.fingerprint import MAX_TEMPLATE, fingerprint_of, place_of, template_of

LIBRARY = "/srv/app/.venv/lib/python3.11/site-packages/httpx/_client.py"


def _trace(*frames: tuple[str, str], error: str = "ValueError: 1") -> str:
    lines = [
        f'  File "{path}", line {number}, in {function}\n    x()' for number, (path, function) in enumerate(frames)
    ]
    return "\n".join(["Traceback (most recent call last):", *lines, error, ""])


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("no customer 17", "no customer #"),
        ("no customer 2,481.50 at 12:33", "no customer # at #"),
        ("event 018f3a1c-0000-7000-8000-0000000000aa is late", "event # is late"),
        ("<Order object at 0x7f3a90c0>", "<Order object at #>"),
        ("commit 4f3a2b1c9d1 of deadbeef", "commit # of deadbeef"),
        ("cannot mail to ana.lópez@shop.example.org", "cannot mail to …@…"),
        ("can't find user's 'Zoë O\"N' or \"x y\"", "can't find user's '…' or '…'"),
        ("not closed: 'abc def", "not closed: '…'"),
        ("[Errno 111] Connection refused by 10.0.0.17", "[Errno 111] Connection refused by #"),
        ("the app answered 500: 'x'", "the app answered 500: '…'"),
        ("status code: 404 after 31 s", "status code: 404 after # s"),
        ("several\n   lines\tof 3", "several lines of #"),
        ("日本 42 件", "日本 # 件"),
        ("", ""),
    ],
)
def test_values_in_a_message_are_blanked(message: str, expected: str) -> None:
    """Numbers, ids, addresses and quoted values are values; words, statuses and errnos are not."""
    assert template_of(message) == expected


def test_the_length_of_a_value_does_not_matter() -> None:
    """A long value pushes the end of the message out, and the template stays the same."""
    tail = "is not in the catalogue of the warehouse, and nothing else was found there either, sadly enough"

    assert template_of(f"article 'a' {tail}") == template_of(f"article '{'a' * 60}' {tail}")
    assert len(template_of(f"article 'a' {tail}")) <= MAX_TEMPLATE


def test_the_history_and_the_ledger_agree() -> None:
    """The history keeps the first 200 characters of a message, and the ledger more."""
    message = "it failed because " + "of this and that " * 30

    assert template_of(message) == template_of(message[:200])


def test_a_hostile_message_costs_little() -> None:
    """Only the beginning of a message is looked at."""
    for message in ("'" * 10**6, "a@" * 10**6, "1" * 10**6, "\ud800" * 10**6, "0x" * 10**6):
        assert len(template_of(message)) <= MAX_TEMPLATE
        assert len(fingerprint_of("E", message, None).id) == 8


def test_the_place_is_the_innermost_frame_of_the_app() -> None:
    """Frames of libraries below it do not count, nor does the line."""
    trace = _trace(("/srv/app/shop/listeners.py", "paid"), ("/srv/app/shop/api.py", "charge"), (LIBRARY, "send"))

    assert place_of(trace) == "shop/api.py charge"


def test_an_installed_app_has_the_place_of_its_listener() -> None:
    """All its frames look like those of libraries; the first one is the listener's."""
    assert place_of(_trace((LIBRARY, "paid"), (LIBRARY, "send"))) == "httpx/_client.py paid"


def test_a_release_in_the_path_does_not_count() -> None:
    """Deploys that put each release into a folder of its own keep the groups."""
    paths = [f"/srv/releases/{name}/shop.py" for name in ("2026-11-30", "2026-12-01")]

    assert [place_of(_trace((path, "paid"))) for path in paths] == ["#-#-#/shop.py paid"] * 2


def test_of_chained_exceptions_the_raised_one_counts() -> None:
    """The first traceback that Python prints is the cause's; the last one is that of the exception itself."""

    def outer() -> None:
        try:
            inner()
        except ValueError as error:
            raise KeyError("k") from error

    def inner() -> None:
        int("x")

    with pytest.raises(KeyError) as raised:
        outer()

    text = "".join(traceback.format_exception(raised.value))
    place = place_of(text)
    assert place is not None
    assert place.endswith("fingerprint.py outer")


def test_of_several_listeners_the_first_one_counts() -> None:
    """It is also the one whose type the error has."""
    assert place_of(_trace(("/a/b.py", "one")) + "\n" + _trace(("/a/b.py", "two"))) == "a/b.py one"


@pytest.mark.parametrize("text", [None, "", "no traceback", "Traceback (most recent call last):", '  File "x'])
def test_without_a_frame_there_is_no_place(text: str | None) -> None:
    """The bridge's own errors, such as a timeout, have no traceback."""
    assert place_of(text) is None


def test_the_parts_cannot_pass_for_each_other() -> None:
    """Type, message and place each change the id."""
    parts = (("a", "b", None), ("a b", "", None), ("a", "", "b"), ("b", "a", None))

    assert len({fingerprint_of(*each).id for each in parts}) == len(parts)
