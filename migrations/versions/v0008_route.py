"""The second route into the log, by Debezium."""

from eventstore.postgres.migrate import run_beside

revision = "v0008"
down_revision = "v0007"


def upgrade() -> None:
    """Run the .up.sql beside this file."""
    run_beside(__file__, "up")


def downgrade() -> None:
    """Run the .down.sql beside this file."""
    run_beside(__file__, "down")
