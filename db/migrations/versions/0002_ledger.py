"""Every kind of transaction, dated cost methods, and what the ledger's neighbours keep. The SQL stands beside this file."""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the whole file in one go (the driver's simple protocol takes many statements)."""
    driver = op.get_bind().connection.driver_connection
    driver.execute(Path(__file__).with_suffix(".sql").read_text("utf-8"))
