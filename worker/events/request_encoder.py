"""Encodes the requests of replays. The parameters that many events have in common are encoded once."""

from functools import lru_cache

from bridge.envelope import Envelope
from bridge.fastcgi import EncodedRequest, append_params, encode_params, encode_request
from bridge.request import OF_THE_EVENT, Alike, ReplayTarget, alike, common_parameters, event_parameters, parameters

KEPT = 256
"""How many encoded beginnings of requests are kept. There is one for each name, source, queue and attempt."""


class RequestEncoder:
    """Encodes the requests to one target."""

    def __init__(self, target: ReplayTarget) -> None:
        self._target = target
        self._common = lru_cache(KEPT)(self._encode_common)

    def encode(self, envelope: Envelope, queue: str) -> EncodedRequest:
        """Return the request of the next replay. Raise `InvalidRequest` if FastCGI cannot carry it."""
        event = envelope.event
        common = self._common(alike(envelope, queue))
        params = None if common is None else append_params(common, event_parameters(event))
        if params is None:
            return encode_request(parameters(envelope, queue, self._target), event.data)
        return EncodedRequest(params, event.data)

    def _encode_common(self, replay: Alike) -> bytes | None:
        """Return the encoded parameters, or None if one record cannot hold them, or one of them is the event's own."""
        common = common_parameters(replay, self._target)
        if OF_THE_EVENT.isdisjoint(common):
            params = encode_params(common)
            if len(params) == 1:
                return params[0]
        return None
