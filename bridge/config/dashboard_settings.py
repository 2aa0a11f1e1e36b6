"""The table `[dashboard]` of `bridge.toml`: who may see and operate the site in a browser."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import Annotated

from bridge.config.notation import HIDDEN, PositiveDuration, member_of, plain_name, text
from bridge.config.reading import Problem, Unreadable, mapping, table

LEAST_SECRET = 32
"""The fewest characters of the secret that signs sessions."""

_HASH = re.compile(r"(?:scrypt|pbkdf2):[a-z0-9:]+\$[A-Za-z0-9./]+\$[0-9a-f]+")


class Role(StrEnum):
    """The rights of a user. Each role may also do what the roles before it may."""

    SEE = "see"
    OPERATE = "operate"
    EDIT = "edit"

    def includes(self, other: "Role") -> bool:
        """Return whether this role may do what the other role may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


def _password_hash(value: object) -> str:
    """Read the hash of a password. No message may show it."""
    if not _HASH.fullmatch(str(value)):
        raise Unreadable([Problem((), HIDDEN, "expected a hash as `bridge-web user NAME` prints it")])
    return str(value)


def _secret(value: object) -> str:
    """Read the secret. No message may show it."""
    if not isinstance(value, str) or len(value) < LEAST_SECRET:
        expected = f"expected {LEAST_SECRET} characters or more, as `bridge-web user NAME` prints them"
        raise Unreadable([Problem((), HIDDEN, expected)])
    return value


@dataclass(frozen=True)
class UserSettings:
    """The table `[dashboard.users.<name>]`: the hash of a user's password, and the role."""

    password: Annotated[str, _password_hash] = field(repr=False)
    role: Annotated[Role, member_of(Role)] = Role.SEE


@dataclass(frozen=True)
class DashboardSettings:
    """The table `[dashboard]`. See docs/dashboard.md."""

    users: Annotated[Mapping[str, UserSettings], mapping(plain_name, table(UserSettings))] = field(default_factory=dict)
    secret: Annotated[str, _secret] | None = field(default=None, repr=False)
    """The secret that signs sessions and forms. All processes that serve the page share it."""
    session: PositiveDuration = timedelta(hours=12)
    """The time after which a user has to sign in again."""
    title: Annotated[str, partial(text, least=1, most=60)] = "bridge"
    """The name of the site, which every page shows."""
