"""What real prices need: the SQL stands beside this file, one 0004_*.sql an area, run in this order."""

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"
AREAS: tuple[str, ...] = (
    "snapshots",
)


def upgrade() -> None:
    """Run each file in one go (the driver's simple protocol takes many statements)."""
    driver = op.get_bind().connection.driver_connection
    for area in AREAS:
        driver.execute(Path(__file__).with_name(f"0004_{area}.sql").read_text("utf-8"))
