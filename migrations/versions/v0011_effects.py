"""Effects of projections: what is to be done outside, once begun at a frozen offset vector."""

from eventstore.postgres.migrate import run_beside

revision = "v0011"
down_revision = "v0010"


def upgrade() -> None:
    """Run the .up.sql beside this file."""
    run_beside(__file__, "up")


def downgrade() -> None:
    """Run the .down.sql beside this file."""
    run_beside(__file__, "down")
