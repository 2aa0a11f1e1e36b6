"""The table of exit codes."""

import inspect

import pytest

from bridge import errors
from bridge.console.exit_codes import ExitCode, exit_code_of
from bridge.errors import BridgeError

CODES = {
    "BrokerUnavailable": ExitCode.BROKER,
    "BrokerRefused": ExitCode.BROKER,
    "StoreUnavailable": ExitCode.BROKER,
    "CallError": ExitCode.INCOMPLETE,
    "CallFailed": ExitCode.INCOMPLETE,
    "CallLost": ExitCode.INCOMPLETE,
    "CallRejected": ExitCode.INCOMPLETE,
    "CallTimedOut": ExitCode.INCOMPLETE,
    "CallUnavailable": ExitCode.BROKER,
    "NobodyServes": ExitCode.INCOMPLETE,
    "DeliveryLost": ExitCode.BROKER,
    "DeferUnavailable": ExitCode.BROKER,
    "DeferUnconfirmed": ExitCode.BROKER,
    "DeferForbidden": ExitCode.BROKER,
    "PartlyRejected": ExitCode.BROKER,
    "DeferRejected": ExitCode.BROKER,
    "SettingsError": ExitCode.USAGE,
    "PolicyError": ExitCode.USAGE,
    "DeferError": ExitCode.USAGE,
    "InvalidName": ExitCode.USAGE,
    "InvalidPayload": ExitCode.USAGE,
    "TooLarge": ExitCode.USAGE,
    "Unroutable": ExitCode.USAGE,
    "DuplicateEvent": ExitCode.INCOMPLETE,
    "MailboxEmpty": ExitCode.INCOMPLETE,
    "NotAllDeferred": ExitCode.INCOMPLETE,
    "UnreadableEnvelope": ExitCode.INCOMPLETE,
    "BridgeError": ExitCode.INCOMPLETE,
}
ERRORS = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, BridgeError)}
ARGUMENTS = {
    "DeferUnconfirmed": ("id", "why"),
    "PartlyRejected": ("id", "why"),
    "DuplicateEvent": ("id", "why"),
    "CallFailed": ("id", "why"),
    "NotAllDeferred": ([None], {0: errors.DeferError("why")}),
}


@pytest.mark.parametrize("name", sorted({*CODES, *ERRORS}))
def test_every_error_has_an_exit_code(name: str) -> None:
    """Every error class has the expected exit code. A new error class fails here until its code is decided."""
    assert exit_code_of(ERRORS[name](*ARGUMENTS.get(name, ("why",)))) is CODES[name]
