"""Encodes the requests of replays. The parameters that many events have in common are encoded once."""

from collections.abc import Mapping
from functools import lru_cache

from bridge.envelope import Envelope
from bridge.fastcgi import EncodedRequest, InvalidRequest, append_params, encode_params, encode_request
from bridge.foreign_messages.source import ForeignSource
from bridge.request import OF_THE_EVENT, Alike, ReplayTarget, alike, common_parameters, event_parameters, parameters

KEPT = 256
"""How many encoded beginnings of requests are kept. There is one for each name, source, queue and attempt."""


class RequestEncoder:
    """Encodes the requests to one target. `foreign` has the queues whose programs get the requests of older bridges."""

    def __init__(self, target: ReplayTarget, foreign: Mapping[str, ForeignSource]) -> None:
        self._target = target
        self._foreign = foreign
        self._common = lru_cache(KEPT)(self._encode_common)

    def encode(self, envelope: Envelope, queue: str) -> EncodedRequest:
        """Return the request of the next replay. Raise `InvalidRequest` if FastCGI cannot carry it."""
        event = envelope.event
        if queue in self._foreign:
            try:
                params, body = self._foreign[queue].request(parameters(envelope, queue, self._target), event.data)
            except ValueError as error:
                raise InvalidRequest(str(error)) from error
            return encode_request(params, body)
        common = self._common(alike(envelope, queue))
        appended = None if common is None else append_params(common, event_parameters(event))
        if appended is None:
            return encode_request(parameters(envelope, queue, self._target), event.data)
        return EncodedRequest(appended, event.data)

    def _encode_common(self, replay: Alike) -> bytes | None:
        """Return the encoded parameters, or None if one record cannot hold them, or one of them is the event's own."""
        common = common_parameters(replay, self._target)
        if OF_THE_EVENT.isdisjoint(common):
            params = encode_params(common)
            if len(params) == 1:
                return params[0]
        return None
