"""Defers and calls the methods of models: their events, from the process that calls them."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from app_adapter.call import TIMEOUT
from app_adapter.defer import JSON
from app_adapter.deferral import Deferral
from app_adapter.deferred_models.method_payloads import MethodPayloads, WrittenMethod

if TYPE_CHECKING:
    from app_adapter.deferred_models.methods import ModelsApp
    from app_adapter.sqlalchemy.methods import Method

OPTIONS = {each.name for each in fields(Deferral)} - {"name", "payload", "content_type", "source"}
"""The arguments of `defer()` that a deferred method takes, besides `session`."""


@dataclass(frozen=True, slots=True)
class MethodCalls:
    """`state` returns the app that defers now."""

    state: "Callable[[], ModelsApp]"
    payloads: MethodPayloads

    def defer(self, method: "Method", options: dict[str, Any]) -> str:
        """Defer a method; return the id of its event. Raise `TypeError` for an unknown option."""
        _check(options, {*OPTIONS, "session"}, "deferred")
        state, how = self.state(), {name: value for name, value in options.items() if name != "session"}
        deferral = Deferral(method.event_name, self._written(method, state), content_type=JSON, **how)
        return state.defer(deferral, options.get("session"))

    def call(self, method: "Method", options: dict[str, Any]) -> Any:
        """Call a method; return what it returns in the pool. Raise `TypeError` for an unknown option."""
        _check(options, {"timeout"}, "deferred.call")
        state, timeout = self.state(), options.get("timeout", TIMEOUT)
        answer = state.call(method.event_name, self._written(method, state), timeout=timeout, content_type=JSON)
        return self.payloads.result(answer, state.app)

    def _written(self, method: "Method", state: "ModelsApp") -> bytes:
        written = WrittenMethod(method.identity, *method.arguments)
        return self.payloads.write(written, state.app, method.event_name)


def _check(options: dict[str, Any], known: set[str], what: str) -> None:
    unknown = sorted(options.keys() - known)
    if unknown:
        raise TypeError(f"{what}({unknown[0]}=…): expected some of {', '.join(sorted(known))}")
