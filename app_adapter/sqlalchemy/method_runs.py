"""Runs the methods of models in the pool, as a listener of their events: each with its record, loaded anew."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import current_app, request
from sqlalchemy.ext.asyncio import AsyncSession

from app_adapter.call_to_end import call_to_end, finish_in_loop
from app_adapter.deferred_models.method_payloads import MethodPayloads, WrittenMethod
from app_adapter.listener_api import Event, Reject
from app_adapter.sqlalchemy.methods import Loading, Models, method_of
from app_adapter.sqlalchemy.sessions import own_session
from bridge.call_words import is_call

Result = Callable[[Any], Any]
"""Makes the answer to a call of what a method returned."""


@dataclass(frozen=True, slots=True)
class MethodRuns:
    """The listener of all events of methods."""

    models: Models
    payloads: MethodPayloads

    def __call__(self, event: Event) -> Any:
        """Run the method of an event in a transaction of its own: a session is made, committed when the method returns,
        and rolled back if it raises. Return the answer, if the event is a call.

        Raise `LookupError` and `AttributeError` for a model and a method that the app does not have, and `Reject` for a
        record that is gone.
        """
        _, word, name = event.name.split(".")
        model, loading = self.models.find(word)
        written = self.payloads.read(event)
        answer = self.payloads.answer if is_call(request.environ) else _no_answer
        run = _Run(model, loading, name, written, answer)
        return run.of_model(event) if written.identity is None else run.of_record(event, written.identity)


@dataclass(frozen=True, slots=True)
class _Run:
    model: type[Any]
    loading: Loading
    name: str
    written: WrittenMethod
    answer: Result

    def of_model(self, event: Event) -> Any:
        return self.answer(_to_end(event, self._method(None)))

    def of_record(self, event: Event, identity: tuple[Any, ...]) -> Any:
        session = own_session(self.loading.sessions())
        if isinstance(session, AsyncSession):
            return self._of_async_record(event, session, identity)
        with session:
            record = session.get(self.model, identity, populate_existing=True)
            if record is None:
                return self.answer(_to_end(event, partial(self._gone, identity)))
            answer = self.answer(_to_end(event, self._method(record)))
            session.commit()
            return answer

    async def _of_async_record(self, event: Event, session: AsyncSession, identity: tuple[Any, ...]) -> Any:
        async with session:
            record = await session.get(self.model, identity, populate_existing=True)
            if record is None:
                return self.answer(await finish_in_loop(event.name, self._gone(identity)))
            answer = self.answer(await finish_in_loop(event.name, self._method(record)()))
            await session.commit()
            return answer

    def _method(self, record: Any) -> Callable[[], Any]:
        """Return the call of the method of a record, or without one of the model."""
        method = method_of(self.model if record is None else type(record), self.name, record)
        return partial(method, *self.written.positional, **self.written.arguments)

    def _gone(self, identity: tuple[Any, ...]) -> Any:
        if self.loading.gone is not None:
            return self.loading.gone(self.model, identity)
        key = ", ".join(map(repr, identity))
        raise Reject(f"{self.model.__name__} {key}: the record is gone")


def _to_end(event: Event, function: Callable[[], Any]) -> Any:
    return call_to_end(event.name, function, run=current_app.ensure_sync)


def _no_answer(result: Any) -> Any:
    """Return None, because nobody waits for an answer."""
