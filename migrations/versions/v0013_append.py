"""Appends of fewer steps: a function that does for a group what one statement can, and an index less to keep for every event."""

from eventstore.postgres.migrate import run_beside

revision = "v0013"
down_revision = "v0012"


def upgrade() -> None:
    """Run the .up.sql beside this file."""
    run_beside(__file__, "up")


def downgrade() -> None:
    """Run the .down.sql beside this file."""
    run_beside(__file__, "down")
