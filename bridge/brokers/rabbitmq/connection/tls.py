"""Makes the TLS context of connections to RabbitMQ and to its management."""

import ssl

from bridge.brokers.contract.tls import Tls
from bridge.errors import SettingsError


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return a new context, which reads the files: renewed certificates are used by the next connection. Raise
    `SettingsError`, which names the file that cannot be used."""
    try:
        context = ssl.create_default_context(cafile=tls.ca, capath=tls.ca_directory, cadata=tls.ca_data)
    except (OSError, ValueError) as error:
        where = tls.ca or tls.ca_directory or "the data"
        raise SettingsError(
            f"tls_ca = {where!r}: expected a file of certificates in PEM format: {_reason(error)}"
        ) from error
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert is not None:
        try:
            context.load_cert_chain(tls.cert, tls.key, password="")  # else OpenSSL asks at the terminal
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"tls_cert = {tls.cert!r}, tls_key = {tls.key!r}: expected a certificate and its key in PEM format, "
                f"the key without a password: {_reason(error)}"
            ) from error
    elif tls.key is not None:
        raise SettingsError(f"tls_key = {tls.key!r}: expected tls_cert too, the certificate of this key")
    return context


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
