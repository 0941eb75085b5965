"""The catalogue of event schemas."""

from eventstore.postgres.migrate import run_beside

revision = "v0004"
down_revision = "v0003"


def upgrade() -> None:
    """Run the .up.sql beside this file."""
    run_beside(__file__, "up")


def downgrade() -> None:
    """Run the .down.sql beside this file."""
    run_beside(__file__, "down")
