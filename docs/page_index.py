"""Reads index.md, the list of all pages, and makes of it the site's navigation and `llms.txt`.

A page is one line of that list, below the heading of its section: `- [Title](page.md): what it is about`.
"""

import re

_ITEM = re.compile(r"^- \[([^\]]+)\]\((\S+)\.md\)(?:: (.*))?$", re.MULTILINE)
_SECTION = re.compile(r"^(?=## )", re.MULTILINE)


def with_toctrees(index: str) -> str:
    """Return the index with a hidden toctree of its pages in each section, which Sphinx makes the navigation of."""
    return "".join(_with_toctree(section) for section in _SECTION.split(index))


def llms_txt(index: str) -> str:
    """Return the index for programs that read: its links lead to each page's Markdown, which the site has too."""
    return _ITEM.sub(_as_markdown_source, index)


def _with_toctree(section: str) -> str:
    pages = [found[2] for found in _ITEM.finditer(section)]
    if not pages:
        return section
    caption = section.partition("\n")[0].removeprefix("## ")
    toctree = "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"])
    return f"{section.rstrip()}\n\n{toctree}\n\n"


def _as_markdown_source(item: re.Match[str]) -> str:
    title, page, about = item.groups()
    link = f"- [{title}](_sources/{page}.md.txt)"
    return f"{link}: {about}" if about else link
