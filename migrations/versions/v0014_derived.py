"""Events that projections derive: what a generation is to publish into its derived topic, and how far each partition was numbered."""

from eventstore.postgres.migrate import run_beside

revision = "v0014"
down_revision = "v0013"


def upgrade() -> None:
    """Run the .up.sql beside this file."""
    run_beside(__file__, "up")


def downgrade() -> None:
    """Run the .down.sql beside this file."""
    run_beside(__file__, "down")
