"""Draws a picture of boxes and arrows as SVG, with a title and a description for those who do not see it, and with
colours for light and for dark screens."""

from dataclasses import dataclass
from html import escape

_STYLE = """
    .page { fill: #ffffff } .box { fill: #f3f6fa; stroke: #5b6b7f }
    .group { fill: none; stroke: #8a97a8; stroke-dasharray: 5 4 }
    .good { fill: #e3f4e6; stroke: #2c7a3f } .bad { fill: #fbe7e6; stroke: #b3372f }
    .wait { fill: #fdf3dc; stroke: #9a6a00 }
    text { fill: #1b2430; font: 14px system-ui, sans-serif }
    .small { font-size: 12px; fill: #465264 } .bold { font-weight: 600 }
    .line { stroke: #465264; stroke-width: 1.6; fill: none } .head { fill: #465264 }
    @media (prefers-color-scheme: dark) {
      .page { fill: #14181f } .box { fill: #202834; stroke: #8fa1b8 } .group { stroke: #6f7d90 }
      .good { fill: #17331f; stroke: #6cc384 } .bad { fill: #3b1d1c; stroke: #ef8a83 }
      .wait { fill: #38290a; stroke: #e0b04a }
      text { fill: #e8edf4 } .small { fill: #b4c0cf } .line { stroke: #b4c0cf } .head { fill: #b4c0cf }
    }
"""
_HEAD = (
    '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path class="head" d="M0 0 8 4 0 8z"/></marker>'
)
_HEIGHT_OF_LINE = 18
_WIDTH_OF_CHARACTER = 7.6
"""An upper estimate for 14 px: a browser's font is not known here."""


@dataclass(frozen=True)
class Box:
    """A box with lines of text in its middle, the first one bold. `kind`, its colour, is box, good, bad, wait or
    group."""

    x: int
    y: int
    width: int
    height: int
    lines: tuple[str, ...]
    kind: str = "box"

    def svg(self) -> str:
        """Return its elements. The text of a group is at its top."""
        middle = self.x + self.width / 2
        height = _HEIGHT_OF_LINE * (len(self.lines) - 1)
        top = self.y + 18 if self.kind == "group" else self.y + self.height / 2 - height / 2 + 5
        texts = "".join(
            f'<text class="{"small" if at else "bold"}" x="{middle:g}" y="{top + _HEIGHT_OF_LINE * at:g}" '
            f'text-anchor="middle">{escape(line)}</text>'
            for at, line in enumerate(self.lines)
        )
        place = f'x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}"'
        return f'<rect class="{self.kind}" {place} rx="7"/>{texts}'

    def fits(self) -> bool:
        """Tell whether its text has room."""
        wide = max(len(line) for line in self.lines) * _WIDTH_OF_CHARACTER <= self.width
        return wide and (self.kind == "group" or len(self.lines) * _HEIGHT_OF_LINE <= self.height)


@dataclass(frozen=True)
class Arrow:
    """A line through points that ends with a head, and a text at a point."""

    points: tuple[tuple[int, int], ...]
    text: str = ""
    at: tuple[int, int] = (0, 0)

    def svg(self) -> str:
        """Return its elements."""
        line = " ".join(f"{x},{y}" for x, y in self.points)
        text = f'<text class="small" x="{self.at[0]}" y="{self.at[1]}" text-anchor="middle">{escape(self.text)}</text>'
        return f'<polyline class="line" points="{line}" marker-end="url(#head)"/>{text if self.text else ""}'


@dataclass(frozen=True)
class Picture:
    """A picture: what it is called, what it shows, and its parts."""

    name: str
    title: str
    description: str
    width: int
    height: int
    parts: tuple[Box | Arrow, ...]

    def svg(self) -> str:
        """Return the file's text."""
        parts = "\n  ".join(part.svg() for part in self.parts)
        size = f'viewBox="0 0 {self.width} {self.height}" width="{self.width}" height="{self.height}"'
        return f"""<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title description">
  <title id="title">{escape(self.title)}</title>
  <desc id="description">{escape(self.description)}</desc>
  <style>{_STYLE}  </style>
  <defs>{_HEAD}</defs>
  <rect class="page" width="{self.width}" height="{self.height}" rx="8"/>
  {parts}
</svg>
"""
