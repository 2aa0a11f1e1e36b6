"""Mutants of the app's side of the outbox. They run in the app's own processes, which read the name of the mutant from
the environment."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy.orm import Session

from app_adapter.outgoing import Outgoing
from app_adapter.sqlalchemy import once, outbox
from tests.faults.replacing import put

MUTANT = "FAULTS_APP_MUTANT"
"""The environment variable with the name of a mutant."""


def marks_forgotten() -> None:
    """Run a listener with `once` whatever marks there are."""
    put(once, "inserted", lambda *_: True)


def marks_committed_first() -> None:
    """Commit the mark before the effects."""
    mark = once._mark

    def hasty(session: Session, *arguments: Any) -> None:
        with Session(session.get_bind()) as own:
            mark(own, *arguments)
            own.commit()

    put(once, "_mark", hasty)


def outbox_in_its_own_transaction() -> None:
    """Write the events of a session in a transaction of their own."""
    write = outbox.write

    def hasty(session: Session, namespace: str, events: Iterable[Outgoing]) -> None:
        with Session(session.get_bind()) as own:
            write(own, namespace, events)
            own.commit()

    put(outbox, "write", hasty)


MUTANTS: Mapping[str, Callable[[], None]] = {
    "marks of once forgotten": marks_forgotten,
    "marks of once committed before the effects": marks_committed_first,
    "events of a session in their own transaction": outbox_in_its_own_transaction,
}
