"""Where Kafka Connect is and how long it may take."""

from __future__ import annotations

import re
from collections.abc import Callable

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from eventstore.settings import configure


def hide_login(url: str) -> str:
    """Give *url* without the name and password in it, whatever else is wrong with it."""
    return re.sub(r"//[^/]*@", "//", url)


class ConnectSettings(BaseSettings):
    """The REST interface of a Kafka Connect cluster; any of its workers will do."""

    model_config = configure("REFOLD_CONNECT_")

    url: str = Field(
        default="http://127.0.0.1:8083",
        description="Base URL of a Connect worker; a login in it (https://name:password@host) is used and never shown. "
        "Env REFOLD_CONNECT_URL.",
    )
    connect_timeout_s: float = Field(
        default=3.0, gt=0, description="Seconds to wait for a TCP connection. Env REFOLD_CONNECT_CONNECT_TIMEOUT_S."
    )
    read_timeout_s: float = Field(
        default=95.0,
        gt=0,
        description="Seconds to wait for an answer; the server itself gives up after 90. Env REFOLD_CONNECT_READ_TIMEOUT_S.",
    )
    patience_s: float = Field(
        default=60.0,
        ge=0,
        description="Seconds during which a request is repeated while the cluster rebalances or boots. "
        "Env REFOLD_CONNECT_PATIENCE_S.",
    )
    internal_prefix: str = Field(
        default="refold-connect",
        description="What the names of Connect's own topics begin with, before -config(s), -offset(s) and -status; `cdc doctor` "
        "looks at them. Env REFOLD_CONNECT_INTERNAL_PREFIX.",
    )

    @property
    def address(self) -> str:
        """The URL to show, without the login in it."""
        return hide_login(self.url)


class SourceSettings(BaseSettings):
    """How our own SQL reaches a captured database, where that differs from what the declaration says."""

    model_config = configure("REFOLD_CDC_")

    dsn: SecretStr | None = Field(
        default=None,
        description="libpq URI of the captured database for checks, publication and status; default: the declaration's, with the "
        "password its reference resolves to here. Env REFOLD_CDC_DSN.",
    )

    wal_budget_bytes: int = Field(
        default=1 << 30,
        gt=0,
        description="Bytes of WAL that a slot may hold before `cdc doctor` warns; a tenth of it is the lag that it takes. "
        "Env REFOLD_CDC_WAL_BUDGET_BYTES.",
    )

    def find(self, declared: Callable[[], str]) -> str:
        """Give the URI set here, else the *declared* one."""
        return declared() if self.dsn is None else self.dsn.get_secret_value()


class RegistrySettings(BaseSettings):
    """The registry that has the schemas of topics written in Avro."""

    model_config = configure("REFOLD_REGISTRY_")

    url: str = Field(
        default="http://127.0.0.1:8081",
        description="Base URL: of Confluent's registry, or of Apicurio's with /apis/registry/v2 or v3 behind it. Env REFOLD_REGISTRY_URL.",
    )
    username: str = Field(default="", description="Who logs in; none = nobody. Env REFOLD_REGISTRY_USERNAME.")
    password: SecretStr | None = Field(default=None, description="Their password. Env REFOLD_REGISTRY_PASSWORD.")
    token: SecretStr | None = Field(default=None, description="A bearer token instead. Env REFOLD_REGISTRY_TOKEN.")
    timeout_s: float = Field(default=5.0, gt=0, description="Seconds to wait for an answer. Env REFOLD_REGISTRY_TIMEOUT_S.")

    @property
    def address(self) -> str:
        """The URL to show, without the login in it."""
        return hide_login(self.url)
