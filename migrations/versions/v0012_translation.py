"""Where translations of captured tables into events stand in the log."""

from eventstore.postgres.migrate import run_beside

revision = "v0012"
down_revision = "v0011"


def upgrade() -> None:
    """Run the .up.sql beside this file."""
    run_beside(__file__, "up")


def downgrade() -> None:
    """Run the .down.sql beside this file."""
    run_beside(__file__, "down")
