"""The catalogue of projections: generations, pointer, checkpoints, parked records, audit."""

from eventstore.postgres.migrate import run_beside

revision = "v0002"
down_revision = "v0001"


def upgrade() -> None:
    """Run the .up.sql beside this file."""
    run_beside(__file__, "up")


def downgrade() -> None:
    """Run the .down.sql beside this file."""
    run_beside(__file__, "down")
