"""The tables as an ordinary application maps them, for the ways that rows are held against."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import psycopg
from sqlalchemy import Engine, Identity, create_engine
from sqlalchemy.dialects.postgresql import INTERVAL
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import StaticPool

from db import engine


class Base(DeclarativeBase):
    """What the mapped classes have in common."""


class PortfolioSnapshot(Base):
    """A total."""

    __tablename__ = "portfolio_snapshots"
    portfolio_id: Mapped[UUID] = mapped_column(primary_key=True)
    bucket: Mapped[datetime] = mapped_column(primary_key=True)
    total: Mapped[Decimal]
    cash: Mapped[Decimal]
    invested: Mapped[Decimal]
    net_flow: Mapped[Decimal]
    coverage: Mapped[Decimal]
    complete: Mapped[bool]
    calculation_version: Mapped[str]


class PositionSnapshot(Base):
    """A position's value."""

    __tablename__ = "position_snapshots"
    portfolio_id: Mapped[UUID] = mapped_column(primary_key=True)
    bucket: Mapped[datetime] = mapped_column(primary_key=True)
    security_id: Mapped[int] = mapped_column(primary_key=True)
    units: Mapped[Decimal]
    cost: Mapped[Decimal]
    value: Mapped[Decimal | None]
    price: Mapped[Decimal | None]
    price_age: Mapped[timedelta | None] = mapped_column(INTERVAL)


class Transaction(Base):
    """A line of the ledger."""

    __tablename__ = "transactions"
    portfolio_id: Mapped[UUID] = mapped_column(primary_key=True)
    transaction_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(Identity(always=True))
    kind: Mapped[str]
    security_id: Mapped[int | None]
    quantity: Mapped[Decimal | None]
    ratio_new: Mapped[Decimal | None]
    ratio_old: Mapped[Decimal | None]
    gross: Mapped[Decimal]
    fees: Mapped[Decimal]
    taxes: Mapped[Decimal]
    net: Mapped[Decimal]
    currency: Mapped[str]
    cash_currency: Mapped[str]
    fx: Mapped[Decimal | None]
    traded_on: Mapped[date]
    settles_on: Mapped[date]
    reverses: Mapped[UUID | None]


class Price(Base):
    """A daily bar."""

    __tablename__ = "price_history"
    security_id: Mapped[int] = mapped_column(primary_key=True)
    on: Mapped[date] = mapped_column("on", primary_key=True)
    close: Mapped[Decimal]


class Quote(Base):
    """The last price of a security."""

    __tablename__ = "asset_prices"
    security_id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[Decimal]
    previous_close: Mapped[Decimal | None]
    session: Mapped[str]
    provider: Mapped[str]
    quoted_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Holding(Base):
    """What is held."""

    __tablename__ = "holdings"
    portfolio_id: Mapped[UUID] = mapped_column(primary_key=True)
    security_id: Mapped[int] = mapped_column(primary_key=True)
    units: Mapped[Decimal]
    cost: Mapped[Decimal]


class CashBalance(Base):
    """Cash in one currency."""

    __tablename__ = "cash_balances"
    portfolio_id: Mapped[UUID] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[Decimal]


def connect(role: engine.Role = "ballast_jobs") -> Engine:
    """SQLAlchemy on one connection of its own to the database of the current row."""
    return create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(engine.conninfo(role)), poolclass=StaticPool
    )
