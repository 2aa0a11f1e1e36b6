"""The pictures in docs/pictures are those of their tables, and can be read by everybody."""

import re
from xml.etree import ElementTree

import pytest

from docs.pictures.draw import PICTURES
from docs.pictures.drawing import Box, Picture
from tests.unit.docs.markdown import ROOT

DIRECTORY = ROOT / "docs" / "pictures"
PAGE = (ROOT / "docs" / "how-it-works.md").read_text("utf-8")
SVG = "{http://www.w3.org/2000/svg}"
every_picture = pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)


def test_the_directory_has_the_pictures_of_the_page() -> None:
    """Each once, with a text for those who do not see it."""
    shown = re.findall(r"!\[[^\]]{20,}\]\(pictures/(\w+)\.svg\)", PAGE)
    assert sorted(shown) == sorted(path.stem for path in DIRECTORY.glob("*.svg")) == sorted(p.name for p in PICTURES)


@every_picture
def test_a_file_is_what_its_table_says(picture: Picture) -> None:
    """After a change of a table: `python -m docs.pictures.draw`."""
    assert (DIRECTORY / f"{picture.name}.svg").read_text("utf-8") == picture.svg()


@every_picture
def test_a_picture_says_what_it_shows_and_has_dark_colours(picture: Picture) -> None:
    """A title, a description, and a style for dark screens."""
    root = ElementTree.fromstring(picture.svg())
    labels = {str(root.findtext(f"{SVG}{name}")) for name in ("title", "desc")}
    assert labels == {picture.title, picture.description}
    ids = {part.get("id") for name in ("title", "desc") for part in root.iter(f"{SVG}{name}")}
    assert set(root.attrib["aria-labelledby"].split()) == ids
    assert "prefers-color-scheme: dark" in str(root.findtext(f"{SVG}style"))


@every_picture
def test_each_text_fits_its_box_and_each_box_the_picture(picture: Picture) -> None:
    """By an upper estimate of the width of a character."""
    for box in picture.parts:
        if isinstance(box, Box):
            assert box.fits(), box
            assert box.x + box.width <= picture.width, box
            assert box.y + box.height <= picture.height, box
