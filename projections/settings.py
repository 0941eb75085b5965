"""Settings of the projections: workers, grace times, reads."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from eventstore.settings import configure


class ProjectionSettings(BaseSettings):
    """How workers poll, and how long a retired generation stays current."""

    model_config = configure("REFOLD_PROJECTIONS_")

    app: str | None = Field(default=None, description="module:name of the app's Projections(...). Env REFOLD_PROJECTIONS_APP.")
    look_s: float = Field(
        default=0.5, gt=0, le=60, description="Seconds between looks at the catalogue for swaps. Env REFOLD_PROJECTIONS_LOOK_S."
    )
    poll_s: float = Field(default=0.2, gt=0, le=10, description="Seconds an idle fetch waits. Env REFOLD_PROJECTIONS_POLL_S.")
    grace_s: float = Field(
        default=900.0,
        ge=0,
        description="Seconds a retired generation is still fed, so that a rollback is never stale. Env REFOLD_PROJECTIONS_GRACE_S.",
    )
    wait_s: float = Field(
        default=5.0, gt=0, description="Seconds that a read waits for a token before TimedOut. Env REFOLD_PROJECTIONS_WAIT_S."
    )
