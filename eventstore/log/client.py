"""What every connection to Kafka has in common: where, how it is secured, and a sentence when it fails.

One place makes the options of all clients (admin, consumers, producers), so that none can be left in plain text. aiokafka only
says "unable to bootstrap" whatever went wrong, so a failed start is looked at once more by a single connection, whose error
tells which setting to mend. Secrets appear in no message.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from eventstore.errors import PreconditionFailed, RefoldError, Unreachable, UsageError
from eventstore.settings import KafkaSettings

Denied = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
"""What Kafka raises when this login's access control lists don't allow a request."""
_LOOK_S = 5.0
_untyped: Any = AIOKafkaConnection


class TokenFile(AbstractTokenProvider):
    """Reads the token anew for every connection: whoever renews the file needs no restart."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride] - the library forgot its own result
        """Give the file's content. Raises UsageError when it can't be read."""
        try:
            return (await asyncio.to_thread(self._path.read_text, "utf-8")).strip()
        except OSError as error:
            raise UsageError(f"REFOLD_KAFKA_SASL_TOKEN_FILE={self._path} can't be read: {error.strerror}") from error


def connect_options(settings: KafkaSettings) -> dict[str, Any]:
    """Give the arguments that every client of aiokafka takes. Raises UsageError that names the setting which is missing or wrong."""
    return {
        "bootstrap_servers": settings.bootstrap,
        "request_timeout_ms": int(settings.request_timeout_s * 1000),
        **_secure(settings),
    }


def _secure(settings: KafkaSettings) -> dict[str, Any]:
    protocol = settings.security_protocol
    options: dict[str, Any] = {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        options["ssl_context"] = _trust(settings)
    if not protocol.startswith("SASL"):
        return options
    options["sasl_mechanism"] = settings.sasl_mechanism
    if settings.sasl_mechanism == "OAUTHBEARER":
        if settings.sasl_token_file is None:
            raise UsageError("REFOLD_KAFKA_SASL_MECHANISM=OAUTHBEARER needs REFOLD_KAFKA_SASL_TOKEN_FILE")
        return options | {"sasl_oauth_token_provider": TokenFile(settings.sasl_token_file)}
    if not settings.sasl_username or settings.sasl_password is None:
        raise UsageError(
            f"REFOLD_KAFKA_SECURITY_PROTOCOL={protocol} with {settings.sasl_mechanism} needs REFOLD_KAFKA_SASL_USERNAME and "
            "REFOLD_KAFKA_SASL_PASSWORD"
        )
    password = settings.sasl_password.get_secret_value()
    return options | {"sasl_plain_username": settings.sasl_username, "sasl_plain_password": password}


def _trust(settings: KafkaSettings) -> ssl.SSLContext:
    """Trust the named authority alone, or the system's; show our own certificate if there is one."""
    try:
        context = ssl.create_default_context(cafile=settings.ssl_ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"REFOLD_KAFKA_SSL_CA_FILE={settings.ssl_ca_file} is no file of PEM certificates: {error}") from error
    context.check_hostname = settings.ssl_check_hostname
    if settings.ssl_cert_file is None:
        return context
    secret = settings.ssl_key_password
    try:
        context.load_cert_chain(
            settings.ssl_cert_file, settings.ssl_key_file, password=lambda: "" if secret is None else secret.get_secret_value()
        )
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"REFOLD_KAFKA_SSL_CERT_FILE={settings.ssl_cert_file} and REFOLD_KAFKA_SSL_KEY_FILE={settings.ssl_key_file} can't be "
            f"used: {error}. Both must be PEM and belong together; a locked key needs REFOLD_KAFKA_SSL_KEY_PASSWORD."
        ) from error
    return context


def unreachable(settings: KafkaSettings, error: object) -> Unreachable:
    """Say in one sentence that no broker answers, and what to do."""
    return Unreachable(
        f"Kafka at {settings.bootstrap} does not answer: {error}. Start it (`refold up`) or set REFOLD_KAFKA_BOOTSTRAP.",
        bootstrap=settings.bootstrap,
    )


async def diagnose(settings: KafkaSettings, error: KafkaError) -> RefoldError:
    """Say why a client could not start, after a look of its own at the first broker: Unreachable, or PreconditionFailed."""
    if isinstance(error, Denied):
        return denied(settings, error)
    host, _, port = settings.bootstrap.split(",")[0].strip().rpartition(":")
    options = connect_options(settings)
    del options["bootstrap_servers"]
    try:
        connection = _untyped(host.strip("[]") or "127.0.0.1", int(port or 9092), **options)
        async with asyncio.timeout(min(_LOOK_S, settings.request_timeout_s)):
            await connection.connect()
            await connection.send(MetadataRequest([]))  # a listener that wants a login lets greetings pass and nothing else
        connection.close()
    except (OSError, KafkaError, TimeoutError, ValueError) as found:
        advice = _advise(settings, found)
        if advice:
            return Unreachable(f"Kafka at {settings.bootstrap} does not let us in: {advice}", bootstrap=settings.bootstrap)
    return unreachable(settings, error)


def denied(settings: KafkaSettings, error: object) -> PreconditionFailed:
    """Say that the login is known and may not do what it asked for."""
    return PreconditionFailed(
        f"Kafka at {settings.bootstrap} does not allow {settings.sasl_username or 'this login'} to do this ({error!r}): give it the "
        "access control lists of its duty, see docs/how-to/encrypt-the-wires.md.",
        bootstrap=settings.bootstrap,
    )


def _advise(settings: KafkaSettings, error: BaseException) -> str | None:
    """Name the setting to look at; None = nothing that a setting would mend."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _doubt(settings, error.verify_message)
    if isinstance(error, (AuthenticationFailedError, SaslAuthenticationFailed)):
        secret = "SASL_TOKEN_FILE" if settings.sasl_mechanism == "OAUTHBEARER" else "SASL_PASSWORD"
        return f"it refused the login {settings.sasl_username!r}. Look at REFOLD_KAFKA_SASL_USERNAME and REFOLD_KAFKA_{secret}."
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"it does not offer {settings.sasl_mechanism}. Look at REFOLD_KAFKA_SASL_MECHANISM."
    if isinstance(error, (ssl.SSLError, ConnectionResetError, KafkaError, TimeoutError, ValueError)):
        return _suspect(settings)
    return None


def _doubt(settings: KafkaSettings, reason: str) -> str:
    """Say what is wrong with the broker's certificate."""
    if "ostname" in reason or "IP address" in reason:
        return (
            f"its certificate is for another name ({reason}). Use the certificate's name in REFOLD_KAFKA_BOOTSTRAP; "
            "REFOLD_KAFKA_SSL_CHECK_HOSTNAME=false gives the check up."
        )
    return (
        f"its certificate can't be verified ({reason}). Put the certificate of the authority that signed it into "
        f"REFOLD_KAFKA_SSL_CA_FILE (now {settings.ssl_ca_file or 'the authorities of the system'})."
    )


def _suspect(settings: KafkaSettings) -> str:
    """Suspect the protocol: a listener spoken to in the wrong way hangs up, waits for more, or sends what makes no sense."""
    spoken = (
        f"it broke off when spoken to as {settings.security_protocol}. Look at REFOLD_KAFKA_SECURITY_PROTOCOL and at the port in"
    )
    if not settings.security_protocol.endswith("SSL") or settings.ssl_cert_file:
        return f"{spoken} REFOLD_KAFKA_BOOTSTRAP."
    return f"{spoken} REFOLD_KAFKA_BOOTSTRAP; where it wants a certificate of ours, set REFOLD_KAFKA_SSL_CERT_FILE."
