"""The views of acts: the question, and the act itself after the person has said yes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from flask import abort, redirect, request, url_for
from werkzeug.wrappers import Response

from bridge.attempt import encodable
from bridge.console.printable import printable
from deferred_event_bridge.dashboard.access import Access, User
from deferred_event_bridge.dashboard.asking import MAX_WHY, Act, Sent
from deferred_event_bridge.dashboard.screens.asked import Asked, Unusable
from deferred_event_bridge.dashboard.signing_in import set_cookie

MAX_WHO = 200
SAID_SECONDS = 60
QUERY = ("queue", "events", "id", "number", "group", "job", "plan")
"""The names in the query of a question's URL."""


@dataclass(frozen=True, slots=True)
class ActViews:
    """The views, with the acts by name. `answer` draws a template; `said` is the cookie that tells the next page what
    was done."""

    acts: Mapping[str, Act]
    asked: Callable[[], Asked]
    answer: Callable[..., Response]
    access: Callable[[], Access]
    said: str

    def ask(self, act: str) -> Response:
        """Show what the act would do, in numbers, and ask who wants it and why."""
        found, asked = self._act(act)
        return self._form(act, found, asked)

    def act(self, act: str) -> Response:
        """Act, if the form is one that this user was shown for this act."""
        found, asked = self._act(act)
        frozen = self.access().read_form(asked.user, request.form.get("token", ""))
        if frozen is None or frozen.get("act") != act:
            abort(403, "This form is too old, or not yours. Nothing was changed: open it again.")
        fields = {name: value for name, value in request.form.items() if name not in ("token", "why")}
        try:
            why = _why(request.form.get("why", ""))
            _check_lengths(fields, found.most)
            text = found.do(asked, Sent(frozen["content"], fields, actor_of(asked.user), encodable(why)))
        except Unusable as error:
            return self._form(act, found, asked, wrong=str(error))  # with what the person has written
        asked.observer.look_again()
        response = redirect(_url(frozen["after"]), 303)
        said = self.access().sign_form(asked.user, {"said": text})
        set_cookie(response, self.said, said, SAID_SECONDS)
        return response

    def _act(self, name: str) -> tuple[Act, Asked]:
        found = self.acts.get(name)
        if found is None:
            abort(404)
        asked = self.asked()
        if not asked.user.may(found.role):
            abort(403, f"{asked.user.name} may {asked.user.role} here. This needs the role {found.role}.")
        return found, asked

    def _form(self, act: str, found: Act, asked: Asked, *, wrong: str = "") -> Response:
        """Return the form; with what is `wrong` about the one that was sent, and its content."""
        question = found.ask(asked)
        frozen: dict[str, Any] = {"act": act, "content": dict(question.frozen), "after": list(question.after)}
        document = {
            "headline": question.title,
            "sentences": list(question.sentences),
            "button": question.button,
            "danger": question.danger,
            "command": question.command,
            "as": actor_of(asked.user),
            "wrong": wrong,
        }
        return self.answer(
            "act.html",
            document,
            400 if wrong else 200,
            act=act,
            query={name: request.args[name] for name in QUERY if name in request.args},
            token=self.access().sign_form(asked.user, frozen),
            fields=[replace(each, value=request.form.get(each.name, each.value)) for each in question.fields],
            why=request.form.get("why", ""),
            back=_url(question.back),
            max_why=MAX_WHY,
            most=found.most,
        )


def _why(text: str) -> str:
    why = text.strip()
    if not why or len(why) > MAX_WHY:
        raise Unusable(f"Why: expected a reason for the record, of at most {MAX_WHY} characters")
    return why


def _check_lengths(fields: Mapping[str, str], most: int) -> None:
    for name, value in fields.items():
        if len(value) > most:
            raise Unusable(f"{name[:50]}: expected at most {most:,} characters, got {len(value):,}")


def actor_of(user: User) -> str:
    """Return a user as records have it."""
    return f"{printable(user.name)[:MAX_WHO]}@page"


def _url(screen: Any) -> str:
    name, query = screen
    return url_for(f".{name}", **query)
