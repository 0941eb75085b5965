"""Appends to several streams, in groups, and on conditions over types and tags."""

from eventstore.postgres.migrate import run_beside

revision = "v0003"
down_revision = "v0002"


def upgrade() -> None:
    """Run the .up.sql beside this file."""
    run_beside(__file__, "up")


def downgrade() -> None:
    """Run the .down.sql beside this file."""
    run_beside(__file__, "down")
