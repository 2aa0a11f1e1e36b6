"""Who may use the page: users with roles, passwords as hashes, and signed sessions and forms."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from flask import Request
from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.security import check_password_hash, generate_password_hash

from bridge.config.dashboard_settings import DashboardSettings, Role, UserSettings
from bridge.config.settings import Settings
from bridge.errors import SettingsError

COOKIE = "bridge_session"
FORM_SECONDS = 3600
"""The time for which a form that was shown can be sent."""


@dataclass(frozen=True, slots=True)
class User:
    """A person who is signed in. `session` differs for each sign-in."""

    name: str
    role: Role
    session: str = ""

    def may(self, role: Role) -> bool:
        """Return whether the user may do what this role may."""
        return self.role.includes(role)


Check = Callable[[Request], User | None]
"""The host app's own check: returns the user of a request, None if nobody is signed in."""


@dataclass(frozen=True, slots=True)
class Access:
    """The users of the page, and the secret that signs their sessions and forms. With a `check` the host app decides
    who the user is, and the page has no sign-in of its own."""

    users: Mapping[str, UserSettings]
    secret: str = field(repr=False)
    session_seconds: float
    check: Check | None = None

    def user_of(self, request: Request) -> User | None:
        """Return the user of a request, None if nobody is signed in."""
        if self.check is not None:
            return self.check(request)
        try:
            name, session, proof = self._signer("session").loads(
                request.cookies.get(COOKIE, ""), max_age=int(self.session_seconds)
            )
            known = self.users[name]
        except (BadSignature, KeyError, ValueError, TypeError):
            return None
        if not compare_digest(str(proof), _proof(known)):  # the password or the role was changed
            return None
        return User(name, known.role, str(session))

    def sign_in(self, name: str, password: str) -> str | None:
        """Return the content of a session cookie; None for a wrong name or password. An unknown name takes as long as a
        wrong password."""
        known = self.users.get(name)
        right = check_password_hash(_NOBODY if known is None else known.password, password)
        if known is None or not right:
            return None
        return str(self._signer("session").dumps([name, secrets.token_urlsafe(16), _proof(known)]))

    def sign_form(self, user: User, content: Mapping[str, Any]) -> str:
        """Return a form's token: it proves that this user was shown this form with this content."""
        return str(self._signer("form").dumps([user.name, user.session, dict(content)]))

    def read_form(self, user: User, token: str) -> Mapping[str, Any] | None:
        """Return the content of a form's token; None if it is not this user's, or too old."""
        try:
            name, session, content = self._signer("form").loads(token, max_age=FORM_SECONDS)
        except (BadSignature, ValueError, TypeError):
            return None
        mine = compare_digest(f"{name}\0{session}".encode(), f"{user.name}\0{user.session}".encode())
        return content if mine and isinstance(content, dict) else None

    def _signer(self, purpose: str) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(
            self.secret, salt=f"deferred-event-bridge dashboard {purpose}", signer_kwargs={"digest_method": sha256}
        )


def access_of(settings: Settings, check: Check | None = None, app_secret: object = None) -> Access:
    """Return the access that the settings give. `app_secret` is the SECRET_KEY of the host app. Raise `SettingsError`
    if they name no user and there is no check, or if there is no secret."""
    dashboard = settings.values.dashboard or DashboardSettings()
    if not dashboard.users and check is None:
        raise SettingsError(
            f"dashboard.users (from {settings.origin('dashboard')}): expected one user or more, because nobody may see "
            "the page without one; `bridge-web user NAME` asks for a password and prints the tables"
        )
    secret = dashboard.secret or app_secret
    if isinstance(secret, bytes):
        secret = secret.hex()
    if not isinstance(secret, str) or not secret:
        raise SettingsError(
            f"dashboard.secret (from {settings.origin('dashboard')}): expected a secret that signs sessions; "
            "`bridge-web user NAME` prints one"
        )
    return Access(dashboard.users, secret, dashboard.session.total_seconds(), check)


def hash_of(password: str) -> str:
    """Return the hash of a password as the settings have it."""
    return generate_password_hash(password)


def _proof(user: UserSettings) -> str:
    return sha256(f"{user.password}\0{user.role}".encode()).hexdigest()[:32]


_NOBODY = generate_password_hash(secrets.token_urlsafe(16))
