"""How a feed of changes treats its clients."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from eventstore.settings import configure


class FeedSettings(BaseSettings):
    """Heartbeats, and how far a client may fall behind before it reads by itself."""

    model_config = configure("REFOLD_FEED_")

    heartbeat_s: float = Field(
        default=15.0, gt=0, description="Seconds of silence after which a client is sent a comment. Env REFOLD_FEED_HEARTBEAT_S."
    )
    behind_changes: int = Field(
        default=1_000,
        ge=1,
        description="Items (changes) kept for a client that is slow to take them; with more it is served from the log, at its pace. "
        "Env REFOLD_FEED_BEHIND_CHANGES.",
    )
    reconnect_s: float = Field(
        default=2.0, gt=0, description="Seconds that a client waits before it connects again. Env REFOLD_FEED_RECONNECT_S."
    )
