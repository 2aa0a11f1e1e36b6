"""The exit codes of all programs, and the exit code of each error of the bridge."""

from enum import IntEnum

from bridge.errors import (
    BridgeError,
    BrokerRefused,
    BrokerUnavailable,
    CallError,
    DeferError,
    DeferForbidden,
    DeferRejected,
    DeferUnconfirmed,
    DeliveryLost,
    DuplicateEvent,
    MailboxEmpty,
    NotAllDeferred,
    PolicyError,
    SettingsError,
    StoreUnavailable,
    UnreadableEnvelope,
)

BY_SIGNAL = 128
"""A program that a signal ended exits with this plus the signal's number, as in shells: 130 after Ctrl-C."""


class ExitCode(IntEnum):
    """The exit codes of the programs."""

    DONE = 0
    INCOMPLETE = 1
    """A part was not done, or a check found a problem."""
    USAGE = 2
    """The command line or the settings cannot be used."""
    BROKER = 3
    """The broker, or the database of an outbox, cannot be reached, or refuses the client."""
    APP = 4
    """The app cannot boot."""


_CODES: tuple[tuple[type[BridgeError], ExitCode], ...] = (
    (BrokerUnavailable, ExitCode.BROKER),
    (BrokerRefused, ExitCode.BROKER),
    (StoreUnavailable, ExitCode.BROKER),
    (DeliveryLost, ExitCode.BROKER),
    (DeferUnconfirmed, ExitCode.BROKER),
    (DeferForbidden, ExitCode.BROKER),
    (DeferRejected, ExitCode.BROKER),
    (DuplicateEvent, ExitCode.INCOMPLETE),
    (MailboxEmpty, ExitCode.INCOMPLETE),
    (NotAllDeferred, ExitCode.INCOMPLETE),
    (DeferError, ExitCode.USAGE),
    (SettingsError, ExitCode.USAGE),
    (PolicyError, ExitCode.USAGE),
    (UnreadableEnvelope, ExitCode.INCOMPLETE),
    (CallError, ExitCode.INCOMPLETE),
)


def exit_code_of(error: BridgeError) -> ExitCode:
    """Return the exit code of a program that ends with this error. The first matching class in the table decides; the
    code of an error outside the table is INCOMPLETE."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.INCOMPLETE)
