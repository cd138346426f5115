"""The security master as tracked, audited tasks. The SQL stands beside this file: one 0003_*.sql an area, run in this order."""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
AREAS = ("audit", "master", "tasks", "bulk", "notices", "lookups", "upkeep", "counterparties")


def upgrade() -> None:
    """Run each file in one go (the driver's simple protocol takes many statements)."""
    driver = op.get_bind().connection.driver_connection
    for area in AREAS:
        driver.execute(Path(__file__).with_name(f"0003_{area}.sql").read_text("utf-8"))
