"""The checks of `eventstore doctor` about who gets in: whether the wires are guarded, and whether the grants are those of the matrix."""

from __future__ import annotations

from psycopg.errors import InsufficientPrivilege
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.postgres.checkup import Finding
from eventstore.postgres.engine import is_guarded, is_local
from eventstore.postgres.roles import read_duties
from eventstore.settings import KafkaSettings, PostgresSettings


def check_wires(postgres: PostgresSettings, kafka: KafkaSettings) -> list[Finding]:
    """Check that nobody between here and the servers can listen or pose as one of them. Pure."""
    return [_judge_postgres(postgres), _judge_kafka(kafka)]


def _judge_postgres(settings: PostgresSettings) -> Finding:
    if is_guarded(settings):
        return Finding("wires", "ok", f"PostgreSQL at {settings.address} is on this machine, or verified in full")
    return Finding(
        "wires",
        "warn",
        f"PostgreSQL at {settings.address} is reached without sslmode=verify-full: somebody in between can read events or pose as it",
        "set REFOLD_POSTGRES_SSLMODE=verify-full and REFOLD_POSTGRES_SSLROOTCERT",
    )


def _judge_kafka(settings: KafkaSettings) -> Finding:
    hosts = [each.strip().rpartition(":")[0].strip("[]") for each in settings.bootstrap.split(",")]
    checked = settings.security_protocol.endswith("SSL") and settings.ssl_check_hostname
    if checked or all(map(is_local, hosts)):
        return Finding("wires", "ok", f"Kafka at {settings.bootstrap} is on this machine, or encrypted and its name checked")
    return Finding(
        "wires",
        "warn",
        f"Kafka at {settings.bootstrap} is reached by {settings.security_protocol} without a check of who answers: somebody in "
        "between can read and change the log",
        "set REFOLD_KAFKA_SECURITY_PROTOCOL=SASL_SSL, REFOLD_KAFKA_SSL_CA_FILE and a login",
    )


async def check_roles(engine: AsyncEngine) -> Finding:
    """Check that every duty has its role and exactly its grants."""
    try:
        duties = await read_duties(engine)
    except InsufficientPrivilege as error:
        return Finding("roles", "unknown", f"the matrix of grants is the owner's to read: {error.diag.message_primary}")
    faults = [str(each) for each in duties if not each.exists or each.missing or each.excess]
    if faults:
        return Finding(
            "roles", "warn", "; ".join(faults), "eventstore roles --apply (`eventstore roles --sql` for an administrator)"
        )
    return Finding("roles", "ok", "every duty has its role and exactly its grants")
