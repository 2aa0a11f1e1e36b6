"""The lines of a file that is being written."""

from pathlib import Path

import pytest

from tests.lines import whole_lines


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"on", []),
        (b"one\n", ["one"]),
        ("one\ntwo \u2028 and\nthr\u00e4".encode()[:-1], ["one", "two \u2028 and"]),
    ],
)
def test_an_unfinished_line_is_left_out(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    """Only lines with an end are there, also if the last one ends within a character."""
    file = tmp_path / "lines"
    file.write_bytes(content)

    assert whole_lines(file) == lines


def test_no_file_has_no_lines(tmp_path: Path) -> None:
    """The file that the first line creates need not be there."""
    assert whole_lines(tmp_path / "lines") == []
