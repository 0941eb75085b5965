"""Where Kafka Connect is and how long it may take."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from eventstore.settings import configure


class ConnectSettings(BaseSettings):
    """The REST interface of a Kafka Connect cluster; any of its workers will do."""

    model_config = configure("REFOLD_CONNECT_")

    url: str = Field(default="http://127.0.0.1:8083", description="Base URL of a Connect worker. Env REFOLD_CONNECT_URL.")
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
