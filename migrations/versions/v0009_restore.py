"""A store that was restored from a dump goes on in order, although the new server counts transactions from elsewhere."""

from eventstore.postgres.migrate import run_beside

revision = "v0009"
down_revision = "v0008"


def upgrade() -> None:
    """Run the .up.sql beside this file."""
    run_beside(__file__, "up")


def downgrade() -> None:
    """Run the .down.sql beside this file."""
    run_beside(__file__, "down")
