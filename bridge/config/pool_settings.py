"""The table `[pool]` of `bridge.toml`: the pool behind web servers that `bridge-site` runs."""

from dataclasses import dataclass
from typing import Annotated

from bridge.config.foreign_pool import Address
from bridge.config.notation import SomeText, text
from bridge.config.reading import sequence


def _address(value: object) -> str:
    Address.parsed(text(value))
    return text(value)


def _network(value: object) -> str:
    from bridge.networks import Networks  # not needed in a web process

    try:
        Networks.parsed((text(value),))
    except ValueError:
        raise ValueError("expected a network such as '10.0.0.0/8', with 0 in the bits of its hosts") from None
    return text(value)


@dataclass(frozen=True)
class PoolSettings:
    """The options of `bridge-pool` under the same names. `app` is the pool's own app, None for that of the site."""

    bind: Annotated[str, _address]
    app: SomeText | None = None
    socket_mode: SomeText | None = None
    socket_group: SomeText | None = None
    allow: Annotated[tuple[str, ...], sequence(_network, "expected a list of networks, such as ['10.0.0.0/8']")] = ()
