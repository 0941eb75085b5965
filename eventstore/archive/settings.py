"""Settings of the archive: where it lies, how large its files become."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from eventstore.settings import configure


class ArchiveSettings(BaseSettings):
    """How topics become files."""

    model_config = configure("REFOLD_ARCHIVE_")

    url: str = Field(
        default="",
        description="Where the archive lies: a directory, s3://bucket/prefix, gs://…, or what fsspec knows. Env REFOLD_ARCHIVE_URL.",
    )
    file_rows: int = Field(default=250_000, ge=1, description="Records of one file at most. Env REFOLD_ARCHIVE_FILE_ROWS.")
    file_bytes: int = Field(
        default=64 << 20,
        ge=1 << 10,
        description="Bytes of the records of one file, before compression, above which it is closed. Env REFOLD_ARCHIVE_FILE_BYTES.",
    )
    memory_bytes: int = Field(
        default=256 << 20,
        ge=1 << 10,
        description="Bytes of records held for all files that are being filled; above it the largest is closed early. "
        "Env REFOLD_ARCHIVE_MEMORY_BYTES.",
    )
    group_rows: int = Field(
        default=25_000,
        ge=1,
        description="Records of one row group, which is what a reader holds in memory at a time. Env REFOLD_ARCHIVE_GROUP_ROWS.",
    )
    flush_s: float = Field(
        default=300.0,
        gt=0,
        description="Seconds after which an archiver that follows a topic closes a file that is not full. "
        "Env REFOLD_ARCHIVE_FLUSH_S.",
    )
    stall_s: float = Field(
        default=60.0,
        gt=0,
        description="Seconds without a record, while some are due, before TimedOut. Env REFOLD_ARCHIVE_STALL_S.",
    )
