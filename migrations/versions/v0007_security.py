"""Least-privilege roles, and chains of hashes."""

from eventstore.postgres.migrate import run_beside

revision = "v0007"
down_revision = "v0006"


def upgrade() -> None:
    """Run the .up.sql beside this file."""
    run_beside(__file__, "up")


def downgrade() -> None:
    """Run the .down.sql beside this file."""
    run_beside(__file__, "down")
