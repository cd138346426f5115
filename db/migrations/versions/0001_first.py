"""The first schema: people, dimensions, securities, the ledger, snapshots, runs. The SQL stands beside this file."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the whole file in one go (the driver's simple protocol takes many statements)."""
    driver = op.get_bind().connection.driver_connection
    driver.execute(Path(__file__).with_suffix(".sql").read_text("utf-8"))
