"""Makes the calls of one app, and answers them in a test."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flask import Flask

from app_adapter.answers import value_of
from app_adapter.call import make_question, question_of
from app_adapter.fork_safe_publishing import ask
from app_adapter.trace import current_traceparent
from bridge.call import Question
from bridge.config.settings import Settings
from bridge.errors import CallError
from bridge.event import Event
from bridge.queues import route
from bridge.request import ReplayTarget

if TYPE_CHECKING:
    from bridge.moments import Tell


@dataclass(frozen=True, slots=True)
class Calling:
    """The calls of one app. While it `is_testing`, the app's own listeners answer in this process."""

    app: Flask
    settings: Settings
    tell: "Tell"
    target: ReplayTarget
    is_testing: bool

    def call(self, name: str, payload: Any, timeout: object, content_type: str | None) -> Any:
        """Call the listeners of a name; see `app_adapter.call`."""
        values = self.settings.values
        question = make_question(
            name,
            payload,
            timeout=timeout,
            content_type=content_type,
            source=values.source or self.app.name,
            dumps=self.app.json.dumps,
            max_body=values.max_body,
            traceparent=current_traceparent(),
            now=datetime.now(UTC),
        )
        return self._answer(question)

    def ask(self, event: Event, timeout: float) -> Any:
        """Call the listeners with an event that is made already, as `call` does."""
        return self._answer(question_of(event, timeout))

    def _answer(self, question: Question) -> Any:
        name = question.event.name
        if self.is_testing:
            from app_adapter.testing import answer_in_process  # no web process needs it

            queues = route(self.settings.queues(), name)
            answer = answer_in_process(question, self.app, self.target, queues, self.settings.values.max_body)
        elif self.app.testing:
            raise CallError(
                f"the app {self.app.name!r} has TESTING set, so {name!r} is not sent to a broker. Call it in a `with "
                "events.testing():` block, or use the pytest fixture `deferred_events`; the app's own listeners answer "
                "then. A test that needs the broker sets app.testing = False"
            )
        else:
            answer = ask(self.settings, question, self.tell)
        return value_of(answer, name, self.app.json.loads)
