"""The app of the ordeals about effects in a database, in place of `judged`. `POST /defer` commits an order and its
event in one transaction; three listeners have an effect each, once: two of the event, and one of the event that the
first of them defers with its effect.

The payload's `do` lists the steps of the first, second, … attempt, as for `judged`. An event that fails three times is
rejected; its database may be away for longer.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from flask import Flask, request
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app_adapter import DeferredEvents, Event, Reject
from app_adapter.listener_api import AlreadyDone
from tests.faults.app_database import CALLED, DECORATED, FOLLOWED, Effect, Order, sessions_of_environment
from tests.faults.effect_mutants import MUTANT, MUTANTS
from tests.faults.history import History

TRIED = 3
"""Attempts of a listener that fails by its step."""

ROLLED_BACK = 41
"""By the event's number modulo 100: the transaction of the order is rolled back."""

KILL_LATER = "kill later"
"""The step of a child that kills itself between the commit and the end of the attempt."""

if MUTANT in os.environ:
    MUTANTS[os.environ[MUTANT]]()

app = Flask(__name__)
app.logger.disabled = True  # the failures are intended, and the history has them
events = DeferredEvents(app)
history = History.of_environment()
sessions = sessions_of_environment()


def fail(event: Event) -> None:
    if event.attempt >= TRIED:
        raise Reject("never")
    raise ConnectionError("downstream is down")


def reject(event: Event) -> None:
    raise Reject("never")


def kill(event: Event) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


BEFORE_THE_COMMIT: dict[str, Callable[[Event], object]] = {
    "ok": lambda event: None,
    KILL_LATER: lambda event: None,
    "fail": fail,
    "reject": reject,
    "sleep": lambda event: time.sleep(0.05),
    "kill": kill,
}


@app.post("/defer")
def accept() -> Any:
    """Commit an order and its event. Reply 202; or 503 with `unknown` if the commit failed, with `fail` if the
    transaction ended before it."""
    requested = request.get_json()
    key = requested["key"]
    with sessions() as session:
        try:
            session.add(Order(key=key))
            event = events.defer(f"judged.{key}", requested["payload"], delay=requested.get("delay"), session=session)
            session.flush()
        except Exception as error:
            return {"end": "fail", "error": f"{type(error).__name__}: {error}"}, 503
        if int(key.rpartition("-")[2]) % 100 == ROLLED_BACK:
            with suppress(SQLAlchemyError):  # the database was killed, which rolls back too
                session.rollback()
            return {"end": "fail", "error": "rolled back"}, 503
        try:
            session.commit()
        except Exception as error:
            return {"end": "unknown", "error": f"{type(error).__name__}: {error}"}, 503
    return {"end": "ok", "id": event}, 202


@events.on("judged.#", priority=1)
def listen(event: Event) -> None:
    """Do the step that the event lists for this attempt, in the transaction of the effect and of a further event."""
    key = event.name.removeprefix("judged.")
    known = {"key": key, "id": event.id, "attempt": event.attempt, "pid": os.getpid()}
    history.note("attempt", **known)
    steps = [each.partition(":")[0] for each in event.payload["do"]]
    step = steps[min(event.attempt, len(steps)) - 1]
    try:
        with sessions() as session, session.begin():
            events.once(session)
            session.add(Effect(listener=CALLED, key=key))
            events.defer(f"followed.{key}", session=session)
            session.flush()
            BEFORE_THE_COMMIT[step](event)
    except AlreadyDone:
        raise
    except Exception:  # any failure is noted before the app handles it
        history.note("failure", **known)
        raise
    if step == KILL_LATER:
        kill(event)
    history.note("effect", **known)


@events.on("judged.#", once=sessions)
def decorated(event: Event, session: Session) -> None:
    """Have an effect, in the transaction of the decorator."""
    session.add(Effect(listener=DECORATED, key=event.name.removeprefix("judged.")))


@events.on("followed.#", once=sessions)
def follow(event: Event, session: Session) -> None:
    """Have an effect of the event that another listener has deferred."""
    session.add(Effect(listener=FOLLOWED, key=event.name.removeprefix("followed.")))
