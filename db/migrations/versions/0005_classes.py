"""The country of a security is dated as its class and sector are. The SQL stands beside this file."""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Run the file in one go (the driver's simple protocol takes many statements)."""
    op.get_bind().connection.driver_connection.execute(Path(__file__).with_suffix(".sql").read_text("utf-8"))
