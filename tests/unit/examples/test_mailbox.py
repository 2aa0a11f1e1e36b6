"""The example of a mailbox, on SQLite: the shop puts labels, the printer prints them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from examples.mailbox.printer import print_labels
from examples.mailbox.shop import create_app


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """The shop with two paid orders, the second one express. It lasts as long as the test."""
    monkeypatch.setenv("BRIDGE_BROKER_URL", f"sqlite:///{tmp_path}/shop.db")
    app = create_app()
    client = app.test_client()
    assert client.post("/orders/1/paid").status_code == 202
    assert client.post("/orders/2/paid", data={"express": "yes"}).status_code == 202
    yield app


def test_labels_are_printed(shop: Flask) -> None:
    """The express order first, each once; a printer that fails gives its label back."""
    printed: list[str] = []

    def out_of_paper(label: str) -> None:
        raise OSError(f"no paper for {label}")

    with pytest.raises(OSError, match="no paper for order 2"):
        print_labels(out_of_paper, 0)
    assert print_labels(printed.append, 0) == 2

    assert printed == ["order 2", "order 1"]
