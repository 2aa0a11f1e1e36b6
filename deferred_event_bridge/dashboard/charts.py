"""Small charts as SVG, without any style of their own: the style sheet colours them. Pure."""

from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 160, 36


def sparkline(points: Sequence[tuple[float, float]], title: str) -> Markup:
    """Return a line of values over time (seconds, value), with a text for those who cannot see it."""
    drawn = _path(points)
    return Markup(
        '<svg class="spark" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" aria-label="{2}" '
        'preserveAspectRatio="none"><path class="area" d="{3}L{0} {1}L0 {1}Z"/><path class="line" d="{3}"/></svg>'
    ).format(WIDTH, HEIGHT, title, drawn)


def _path(points: Sequence[tuple[float, float]]) -> str:
    if len(points) < 2:
        return f"M0 {HEIGHT - 2}L{WIDTH} {HEIGHT - 2}"
    first, last = points[0][0], points[-1][0]
    most = max(1.0, *(value for _, value in points))
    steps = [
        f"{WIDTH * (time - first) / max(last - first, 1e-9):.1f} {HEIGHT - 2 - (HEIGHT - 4) * value / most:.1f}"
        for time, value in points
    ]
    return "M" + "L".join(steps)
