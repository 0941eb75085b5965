"""TLS and logins by settings, on servers that insist on them; what goes wrong names the setting to mend and no secret."""

import ast
import base64
import json
import time
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

import eventstore.cli
from compose.stack import status_given
from eventstore.errors import PreconditionFailed, Unreachable, UsageError
from eventstore.log.admin import Admin
from eventstore.log.bounds import find_bounds
from eventstore.log.producer import TransactionalProducer
from eventstore.postgres import checkout, open_engine
from eventstore.postgres.access import check_wires
from eventstore.postgres.engine import is_guarded
from eventstore.settings import KafkaSettings, PostgresSettings
from tests.integration.security.wires import KEY_PASSWORD, PLAIN_USER, PROJECTOR, RELAY, Wires, make_users

SECRET = "not-for-the-log"
PREFIX = "wires"
Facts = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
async def users(wires: Wires) -> dict[str, str]:
    """A relay and a projector with passwords, and whoever has the certificate "certified", with a projector's rights."""
    with psycopg.connect(wires.dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE t_certified LOGIN")
        connection.execute(f"CREATE ROLE t_login LOGIN PASSWORD '{SECRET}'")
    users = {"relay": SECRET, "projector": f"{SECRET}-2"}
    await make_users(
        wires, users, {"relay": RELAY, "projector": PROJECTOR, "CN=certified": PROJECTOR, "token": PROJECTOR}, PREFIX
    )
    return users


@pytest.fixture
def secured(wires: Wires, users: dict[str, str]) -> Facts:
    """What a relay sets to get in."""
    return {
        "bootstrap": f"localhost:{wires.login_port}",
        "topic_prefix": PREFIX,
        "security_protocol": "SASL_SSL",
        "ssl_ca_file": wires.authority.file,
        "sasl_username": "relay",
        "sasl_password": SecretStr(SECRET),
        "request_timeout_s": 10,
    }


@pytest.fixture
def certified(wires: Wires, secured: Facts) -> Facts:
    """What somebody with a certificate sets."""
    certificate, key = wires.authority.issue("certified", password=KEY_PASSWORD)
    return {
        **{name: secured[name] for name in ("topic_prefix", "ssl_ca_file", "request_timeout_s")},
        "bootstrap": f"localhost:{wires.certificate_port}",
        "security_protocol": "SSL",
        "ssl_cert_file": certificate,
        "ssl_key_file": key,
        "ssl_key_password": SecretStr(KEY_PASSWORD),
    }


async def ask(settings: KafkaSettings) -> list[str]:
    async with Admin.open(settings) as admin:
        return await admin.topics()


async def test_every_kafka_client(secured: Facts) -> None:
    """Administration, producer and consumers get in with a password over TLS."""
    settings = KafkaSettings(**secured)
    topic = f"{PREFIX}.{uuid.uuid4().hex[:8]}"
    async with Admin.open(settings) as admin:
        assert await admin.create_topic(topic, 1)
        assert await admin.wait_visible(topic) == 1
    producer = TransactionalProducer(settings, topic, f"{PREFIX}.relay")
    await producer.start()
    await producer.publish([(0, b"k", b"v", 0)])
    await producer.close()
    _, ends = await find_bounds(settings, [(topic, 0)])
    assert ends == {(topic, 0): 2}


async def test_certificate(certified: Facts) -> None:
    """A certificate of ours, its key locked by a password, is a login of its own."""
    assert isinstance(await ask(KafkaSettings(**certified)), list)


async def test_plain(secured: Facts) -> None:
    """A password that is sent as it is, which TLS hides, is a login too; a wrong one is refused with the settings to look at."""
    name, password = PLAIN_USER
    settings = {**secured, "sasl_mechanism": "PLAIN", "sasl_username": name, "sasl_password": SecretStr(password)}
    assert isinstance(await ask(KafkaSettings(**settings)), list)
    with pytest.raises(Unreachable, match="REFOLD_KAFKA_SASL_USERNAME") as refused:
        await ask(KafkaSettings(**{**settings, "sasl_password": SecretStr("another-password")}))
    assert "another-password" not in str(refused.value)


async def test_token(secured: Facts, tmp_path: Path) -> None:
    """A token from a file is a login too, and the file is read anew for every connection."""
    now, path = int(time.time()), tmp_path / "token"
    parts = [{"alg": "none"}, {"sub": "token", "iat": now - 10, "exp": now + 600}]
    token = ".".join(base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in parts) + "."
    settings = KafkaSettings(**{**secured, "sasl_mechanism": "OAUTHBEARER", "sasl_token_file": path})
    path.write_text("no token")
    with pytest.raises(Unreachable, match="REFOLD_KAFKA_SASL_TOKEN_FILE"):
        await ask(settings)
    path.write_text(f"{token}\n")
    assert isinstance(await ask(settings), list)


async def test_access_control_lists(secured: Facts, users: dict[str, str]) -> None:
    """Nobody but the relay's login writes the log: a projector's may read it, and is told what it lacks."""
    topic = f"{PREFIX}.{uuid.uuid4().hex[:8]}"
    async with Admin.open(KafkaSettings(**secured)) as admin:
        await admin.create_topic(topic, 1)
        await admin.wait_visible(topic)
    projector = KafkaSettings(**{**secured, "sasl_username": "projector", "sasl_password": SecretStr(users["projector"])})
    assert (await find_bounds(projector, [(topic, 0)]))[1] == {(topic, 0): 0}
    with pytest.raises(PreconditionFailed, match="does not allow projector"):
        await TransactionalProducer(projector, topic, f"{PREFIX}.mine").start()
    async with Admin.open(projector) as admin:
        with pytest.raises(PreconditionFailed, match="Authorization failed"):
            await admin.create_topic(f"{PREFIX}.other", 1)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ssl_ca_file": "stranger"}, "REFOLD_KAFKA_SSL_CA_FILE"),
        ({"ssl_ca_file": None}, "the authorities of the system"),
        ({"sasl_password": SecretStr(f"{SECRET}-wrong")}, "REFOLD_KAFKA_SASL_PASSWORD"),
        ({"sasl_username": "nobody"}, "login 'nobody'"),
        ({"sasl_mechanism": "SCRAM-SHA-256"}, "REFOLD_KAFKA_SASL_MECHANISM"),
        ({"security_protocol": "PLAINTEXT", "request_timeout_s": 2}, "REFOLD_KAFKA_SECURITY_PROTOCOL"),
        ({"security_protocol": "SASL_PLAINTEXT", "request_timeout_s": 2}, "REFOLD_KAFKA_SECURITY_PROTOCOL"),
        ({"security_protocol": "SSL", "request_timeout_s": 2}, "REFOLD_KAFKA_SECURITY_PROTOCOL"),
        ({"bootstrap": "administration"}, "REFOLD_KAFKA_SECURITY_PROTOCOL"),
        ({"bootstrap": "by its number"}, "certificate's name in REFOLD_KAFKA_BOOTSTRAP"),
        ({"bootstrap": "certificate", "security_protocol": "SSL"}, "REFOLD_KAFKA_SSL_CERT_FILE"),
        ({"bootstrap": "localhost:1"}, "Start it"),
    ],
)
async def test_kafka_refusals(wires: Wires, secured: Facts, changes: Facts, named: str) -> None:
    """Whatever is wrong, the error says which setting to look at, with exit code 6 and without the password."""
    places = {
        "administration": wires.administration,
        "by its number": f"127.0.0.1:{wires.login_port}",
        "certificate": f"localhost:{wires.certificate_port}",
        "stranger": wires.stranger.file,
    }
    changes = {name: places.get(value, value) if isinstance(value, str) else value for name, value in changes.items()}
    with pytest.raises(Unreachable) as refused:
        await ask(KafkaSettings(**{**secured, **changes}))
    assert named in str(refused.value)
    assert SECRET not in str(refused.value)
    assert refused.value.exit_code == 6


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sasl_username": ""}, "REFOLD_KAFKA_SASL_USERNAME"),
        ({"sasl_password": None}, "REFOLD_KAFKA_SASL_PASSWORD"),
        ({"sasl_mechanism": "OAUTHBEARER"}, "REFOLD_KAFKA_SASL_TOKEN_FILE"),
        ({"ssl_ca_file": "/nowhere.pem"}, "REFOLD_KAFKA_SSL_CA_FILE"),
        ({"ssl_key_password": SecretStr("wrong")}, "REFOLD_KAFKA_SSL_KEY_PASSWORD"),
        ({"ssl_cert_file": "/nowhere.pem"}, "REFOLD_KAFKA_SSL_CERT_FILE"),
    ],
)
async def test_kafka_usage(secured: Facts, certified: Facts, changes: Facts, named: str) -> None:
    """Settings that can't work are refused by name before anything is tried."""
    with pytest.raises(UsageError, match=named):
        await ask(
            KafkaSettings(
                **{**(certified if "ssl_key_password" in changes or "ssl_cert_file" in changes else secured), **changes}
            )
        )


async def test_name_check_can_be_given_up(wires: Wires, secured: Facts) -> None:
    """Without the check of names any certificate of the authority will do; another authority's still will not."""
    settings = {**secured, "bootstrap": f"127.0.0.1:{wires.login_port}", "ssl_check_hostname": False}
    assert isinstance(await ask(KafkaSettings(**settings)), list)
    with pytest.raises(Unreachable, match="REFOLD_KAFKA_SSL_CA_FILE"):
        await ask(KafkaSettings(**{**settings, "ssl_ca_file": wires.stranger.file}))


def test_one_door(request: pytest.FixtureRequest) -> None:
    """Every client of Kafka that our code makes takes its options from the one place that secures them."""
    made: list[str] = []
    for path in (request.config.rootpath / "eventstore" / "log").glob("*.py"):
        calls = [each for each in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(each, ast.Call)]
        for call in calls:
            name = ast.unparse(call.func)
            if name.startswith("AIOKafka") or name == "_untyped":
                spread = [ast.unparse(each.value) for each in call.keywords if each.arg is None]
                assert any("options" in each for each in spread), f"{path.name}:{call.lineno}"
                made.append(path.name)
    assert {"admin.py", "consumer.py", "producer.py", "client.py"} <= set(made)


def dsn(wires: Wires, user: str = "t_login", password: str = SECRET, host: str = "localhost") -> SecretStr:
    port = wires.dsn.rpartition(":")[2]
    return SecretStr(f"postgresql://{user}{f':{password}' if password else ''}@{host}:{port}")


async def shake(settings: PostgresSettings) -> tuple[bool, str]:
    """Say whether the session is encrypted, and who it belongs to."""
    engine = open_engine(settings)
    try:
        async with checkout(engine) as connection:
            statement = "SELECT ssl, current_user::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            row = await (await connection.execute(statement)).fetchone()
            assert row
            return row[0], row[1]
    finally:
        await engine.dispose()


async def test_postgres_over_tls(wires: Wires) -> None:
    """The server is verified, the login is bound to the connection, or a certificate is the login; a DSN's own words come first."""
    trusted = PostgresSettings(dsn=dsn(wires), sslmode="verify-full", sslrootcert=wires.authority.file, channel_binding="require")
    assert await shake(trusted) == (True, "t_login")
    certificate, key = wires.authority.issue("t_certified", password=KEY_PASSWORD)
    changes = {"dsn": dsn(wires, "t_certified", ""), "channel_binding": None, "sslcert": certificate, "sslkey": key}
    assert await shake(trusted.model_copy(update={**changes, "sslpassword": SecretStr(KEY_PASSWORD)})) == (True, "t_certified")
    told = SecretStr(f"{dsn(wires).get_secret_value()}?sslmode=require&sslrootcert={wires.authority.file}")
    assert await shake(PostgresSettings(dsn=told, sslmode="verify-full", sslrootcert=Path("/nowhere"))) == (True, "t_login")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sslrootcert": "stranger"}, "REFOLD_POSTGRES_SSLROOTCERT"),
        ({"sslrootcert": "/nowhere.pem"}, "REFOLD_POSTGRES_SSLROOTCERT"),
        ({"dsn": {"host": "127.0.0.1"}}, "certificate's name as host"),
        ({"sslmode": "disable"}, "set sslmode (REFOLD_POSTGRES_SSLMODE) to verify-full"),
        ({"dsn": {"password": f"{SECRET}-wrong"}}, "user and password in REFOLD_POSTGRES_DSN"),
        ({"dsn": {"password": ""}}, "Give the password"),
        ({"dsn": {"user": "t_certified", "password": ""}}, "REFOLD_POSTGRES_SSLCERT"),
        ({"sslcert": "certificate", "sslkey": "key", "sslpassword": SecretStr("wrong")}, "REFOLD_POSTGRES_SSLPASSWORD"),
    ],
)
async def test_postgres_refusals(wires: Wires, changes: Facts, named: str) -> None:
    """Whatever is wrong, the error says which setting to look at, with exit code 6 and without the password."""
    certificate, key = wires.authority.issue("locked", password=KEY_PASSWORD)
    places = {"stranger": wires.stranger.file, "certificate": certificate, "key": key}
    changes = {name: places.get(value, value) if isinstance(value, str) else value for name, value in changes.items()}
    changes["dsn"] = dsn(wires, **changes.get("dsn", {}))
    settings = PostgresSettings(dsn=dsn(wires), sslmode="verify-full", sslrootcert=wires.authority.file, connect_timeout_s=5)
    with pytest.raises(Unreachable) as refused:
        await shake(settings.model_copy(update=changes))
    assert named in str(refused.value)
    assert SECRET not in str(refused.value)
    assert refused.value.exit_code == 6


@pytest.mark.parametrize(
    "text", ["postgresql://u:{}@h:x/d", "host=h password={} port", "postgresql://h/d?password={}&nonsense=1"]
)
async def test_secrets_are_not_quoted(text: str) -> None:
    """A DSN that libpq can't read is not repeated with its password, in no form of DSN."""
    settings = PostgresSettings(dsn=SecretStr(text.format(SECRET)))
    with pytest.raises(Unreachable) as refused:
        await shake(settings)
    assert SECRET not in str(refused.value) + settings.address + repr(settings)


@pytest.mark.parametrize(
    ("text", "guarded"),
    [
        ("postgresql://localhost/d", True),
        ("postgresql://127.0.0.1:1/d", True),
        ("postgresql:///d?host=/run/postgresql", True),
        ("postgresql://db.example/d", False),
        ("postgresql://db.example/d?sslmode=require", False),
        ("postgresql://db.example/d?sslmode=verify-full", True),
        ("host=localhost,db.example dbname=d", False),
        ("host=db.example sslmode=verify-full", True),
    ],
)
def test_guarded(text: str, guarded: bool) -> None:
    """A connection is guarded when it stays on this machine, or when the server is verified in full."""
    assert is_guarded(PostgresSettings(dsn=SecretStr(text))) is guarded


def test_stack_knows_given_servers(wires: Wires) -> None:
    """`refold status` tells given servers that want TLS from servers that are gone."""
    given = f"postgresql://t_login:{SECRET}@localhost:{wires.dsn.rpartition(':')[2].partition('/')[0]}/postgres"
    for address in (given, f"{given}?sslmode=verify-full"):
        assert "wants TLS" in status_given("postgres", address).detail
    for port in (wires.login_port, wires.certificate_port):
        told = status_given("kafka", f"localhost:{port}")
        assert (told.is_healthy, "wants TLS" in told.detail) == (True, True)
    assert not status_given("kafka", "localhost:1").is_healthy


@pytest.mark.parametrize(
    ("kafka", "level"),
    [
        ({"bootstrap": "127.0.0.1:1,localhost:2"}, "ok"),
        ({"bootstrap": "127.0.0.1:1,kafka.example:2"}, "warn"),
        ({"bootstrap": "kafka.example:2", "security_protocol": "SASL_PLAINTEXT"}, "warn"),
        ({"bootstrap": "kafka.example:2", "security_protocol": "SASL_SSL"}, "ok"),
        ({"bootstrap": "kafka.example:2", "security_protocol": "SSL", "ssl_check_hostname": False}, "warn"),
    ],
)
def test_doctor_warns(kafka: Facts, level: str) -> None:
    """The doctor warns when a server elsewhere is reached without encryption or without a check of its name, and says what to set."""
    far = PostgresSettings(dsn=SecretStr(f"postgresql://u:{SECRET}@db.example/d?sslmode=require"))
    found = check_wires(far, KafkaSettings(**kafka))
    assert [each.level for each in found] == ["warn", level]
    assert "verify-full" in found[0].action
    assert SECRET not in found[0].message


def test_program(wires: Wires, secured: Facts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The console program reads it all from the environment, and exits with 6 and the setting's name when it is kept out."""
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", f"{wires.dsn.rpartition('/')[0]}/refold")
    assert eventstore.cli.main(["migrate"]) == 0
    for name, value in secured.items():
        shown = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        monkeypatch.setenv(f"REFOLD_KAFKA_{name.upper()}", shown)
    assert eventstore.cli.main(["relay", "--drain"]) == 0
    monkeypatch.setenv("REFOLD_KAFKA_SASL_PASSWORD", f"{SECRET}-wrong")
    capsys.readouterr()
    assert eventstore.cli.main(["relay", "--drain", "--json"]) == 6
    told = capsys.readouterr().err
    assert "REFOLD_KAFKA_SASL_PASSWORD" in told
    assert SECRET not in told
