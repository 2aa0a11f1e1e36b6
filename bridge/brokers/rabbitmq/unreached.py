"""Why RabbitMQ could not be connected to, in a sentence, and what to do about it."""

import shlex
import socket
import ssl

from bridge.brokers.rabbitmq.address import Address
from bridge.errors import BrokerRefused
from bridge.findings import Finding, wrong


def unreached(where: Address, user: str, error: BaseException) -> Finding:
    """Return the finding about a host that could not be connected to. The error is what `connect` raised."""
    if isinstance(error, BrokerRefused):
        return _refused(where, user, str(error))
    cause = error.__cause__ or error
    if isinstance(cause, socket.gaierror):
        return _away(where, f"there is no such host ({cause.strerror})", "correct the host in broker_url")
    if isinstance(cause, ConnectionRefusedError):
        return _away(where, "nothing listens there", "start it: systemctl start rabbitmq-server; or correct broker_url")
    if isinstance(cause, ssl.SSLError):
        return _away(
            where, f"TLS does not come about: {cause}", "correct broker_url: amqps:// with TLS, amqp:// without"
        )
    if isinstance(cause, TimeoutError):
        step = "on its host: rabbitmq-diagnostics check_running; and see whether a firewall is between"
        return _away(where, f"{error}: it hangs, or something else listens there", step)
    return _away(where, str(error) or type(error).__name__, "on its host: rabbitmq-diagnostics check_running")


def _refused(where: Address, user: str, said: str) -> Finding:
    vhost = shlex.quote(where.vhost)
    if "refuses the login" in said:
        step = f"correct the user or password in broker_url; to try: rabbitmqctl authenticate_user {shlex.quote(user)}"
    elif "not found" in said:
        step = f"rabbitmqctl add_vhost {vhost}; or correct broker_url"
    else:
        step = f"rabbitmqctl set_permissions -p {vhost} {shlex.quote(user)} '.*' '.*' '.*' (or narrower ones)"
    return wrong("broker", said, step)


def _away(where: Address, why: str, next_step: str) -> Finding:
    return wrong("broker", f"RabbitMQ at {where} cannot be reached: {why}", next_step)
