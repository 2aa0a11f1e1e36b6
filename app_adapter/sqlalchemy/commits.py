"""Calls functions when the transaction of a session is committed. For tests of apps, which record events at commit.

A function is dropped if its transaction, or the savepoint that it belongs to, is rolled back.
"""

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from app_adapter.sqlalchemy.sessions import plain_session

_KEY = "bridge.at_commit"


def at_commit(session: Any, call: Callable[[], object]) -> None:
    """Call the function when the present transaction of the session is committed. It begins one if there is none, as
    adding a record does. Raise `DeferError` for an object that is no session."""
    plain = plain_session(session)
    if _KEY not in plain.info:
        plain.info[_KEY] = _AtCommit(plain)
    plain.info[_KEY].add(plain, call)


class _AtCommit:
    """The functions that wait for the commits of one session, each with its transaction."""

    def __init__(self, session: Session) -> None:
        self._waiting: list[tuple[SessionTransaction, Callable[[], object]]] = []
        event.listen(session, "after_commit", self._committed)
        event.listen(session, "after_soft_rollback", self._rolled_back)
        event.listen(session, "after_transaction_end", self._ended)

    def add(self, session: Session, call: Callable[[], object]) -> None:
        transaction = session.get_nested_transaction() or session.get_transaction() or session.begin()
        self._waiting.append((transaction, call))

    def _committed(self, session: Session) -> None:
        if session.in_nested_transaction():  # a savepoint was released
            return
        waiting, self._waiting = self._waiting, []
        for _, call in waiting:
            call()

    def _rolled_back(self, session: Session, previous: SessionTransaction) -> None:
        self._waiting = [each for each in self._waiting if previous not in _with_parents(each[0])]

    def _ended(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:  # a session that was closed without a commit
            self._waiting.clear()


def _with_parents(transaction: SessionTransaction | None) -> Iterator[SessionTransaction]:
    while transaction is not None:
        yield transaction
        transaction = transaction.parent
