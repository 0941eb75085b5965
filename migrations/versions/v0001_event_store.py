"""The event store: streams, events, append and import."""

from eventstore.postgres.migrate import run_beside

revision = "v0001"
down_revision = None


def upgrade() -> None:
    """Run the .up.sql beside this file."""
    run_beside(__file__, "up")


def downgrade() -> None:
    """Run the .down.sql beside this file."""
    run_beside(__file__, "down")
