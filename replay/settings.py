"""Settings of a replay: memory, commits, limits."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from eventstore.settings import configure


class ReplaySettings(BaseSettings):
    """How a generation is built, verified and swapped in."""

    model_config = configure("REFOLD_REPLAY_")

    commit_rows: int = Field(
        default=100_000, ge=1, description="Changed rows after which the build commits. Env REFOLD_REPLAY_COMMIT_ROWS."
    )
    commit_s: float = Field(
        default=5.0, gt=0, description="Seconds after which the build commits anyway. Env REFOLD_REPLAY_COMMIT_S."
    )
    cache_rows: int = Field(
        default=400_000,
        ge=1000,
        description="Rows held in memory; above it they are dropped after a commit and loaded again when needed. "
        "Env REFOLD_REPLAY_CACHE_ROWS.",
    )
    cache_keys: int = Field(
        default=2_000_000,
        ge=0,
        description="Keys of dropped rows held in memory for each table, so that a new key needs no look-up; about 150 bytes each. "
        "Env REFOLD_REPLAY_CACHE_KEYS.",
    )
    near_records: int = Field(
        default=2_000,
        ge=0,
        description="Records behind the end at which a build counts as caught up. Env REFOLD_REPLAY_NEAR_RECORDS.",
    )
    stall_s: float = Field(
        default=60.0,
        gt=0,
        description="Seconds without a record, while some are due, before TimedOut. Env REFOLD_REPLAY_STALL_S.",
    )
    live_lag_records: int = Field(
        default=10_000,
        ge=0,
        description="Records that the live generation may be behind while another is built; above it the build slows down. "
        "Env REFOLD_REPLAY_LIVE_LAG_RECORDS.",
    )
    live_lag_s: float = Field(
        default=3.0,
        gt=0,
        description="Seconds that the live generation may be behind while another is built; above it the build slows down. "
        "Env REFOLD_REPLAY_LIVE_LAG_S.",
    )
    nice: int = Field(
        default=10,
        ge=0,
        le=19,
        description="How far a build gives way to everybody else on its machine while a live generation is fed beside it: steps of its "
        "nice value, a number up to 19; 0 = not at all. Env REFOLD_REPLAY_NICE.",
    )
    swap_s: float = Field(
        default=15.0,
        gt=0,
        description="Seconds that a swap may hold back the live generation's writers. Env REFOLD_REPLAY_SWAP_S.",
    )
    handover_s: float = Field(
        default=15.0,
        ge=0,
        description="Seconds to go on feeding after the swap until a worker takes over. Env REFOLD_REPLAY_HANDOVER_S.",
    )
    disk_reserve_mib: int = Field(
        default=256,
        ge=0,
        description="MiB that a build must leave free on the server's disk, where that can be seen. Env REFOLD_REPLAY_DISK_RESERVE_MIB.",
    )
    samples: int = Field(default=5, ge=0, le=1000, description="Differing rows shown per table. Env REFOLD_REPLAY_SAMPLES.")
