"""Parked records are tried again when it is their time or when somebody asks; a checkpoint knows which topic its offsets count."""

from eventstore.postgres.migrate import run_beside

revision = "v0010"
down_revision = "v0009"


def upgrade() -> None:
    """Run the .up.sql beside this file."""
    run_beside(__file__, "up")


def downgrade() -> None:
    """Run the .down.sql beside this file."""
    run_beside(__file__, "down")
