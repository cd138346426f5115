"""The taxonomy: what is seeded, what others call it, what an asset class may carry."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import ROOT

from core.master import checked
from core.taxonomy import (
    ASSET_CLASSES,
    COUNTRIES,
    COUNTRY_NAMES,
    FREQUENCIES,
    SECTOR_NAMES,
    Sector,
    closest,
    country_of,
    plain,
    sector_named,
    sector_of,
)
from db import lookups, market
from db.master import known_of
from jobs.feeds.replay import played

Connection = psycopg.Connection[Any]
SOME: list[Sector] = [
    ("Information Technology", "", ""),
    ("Information Technology", "Consumer Electronics", ""),
    ("Information Technology", "Software - Application", ""),
    ("Energy", "", ""),
    ("Energy", "Other", ""),
    ("Materials", "Other", ""),
    ("Energy", "Oil & Gas Drilling", "Offshore"),
]


@pytest.mark.parametrize(
    ("sector", "industry", "found"),
    [
        (
            "Technology",
            "Consumer Electronics",
            ("Information Technology", "Consumer Electronics", ""),
        ),  # S0's own example
        ("information technology", "", ("Information Technology", "", "")),
        ("TECHNOLOGY", "software—application", ("Information Technology", "Software - Application", "")),
        ("Software - Application", "", ("Information Technology", "Software - Application", "")),
        ("Materials", "", ("Materials", "", "")),
        ("Technology", "Oil & Gas Drilling", None),
        ("Other", "", None),  # an industry of two sectors
        ("Teknology", "", None),
        ("", "", None),
    ],
)
def test_a_sector_goes_by_anybodys_name(sector: str, industry: str, found: Sector | None) -> None:
    assert sector_named(sector, SOME, industry) == found


def test_a_subsector_has_to_be_one_of_its_industry() -> None:
    assert sector_named("energy", SOME, "oil and gas drilling", "OFFSHORE") == (
        "Energy",
        "Oil & Gas Drilling",
        "Offshore",
    )
    assert sector_named("energy", SOME, "Oil & Gas Drilling") is None
    assert sector_named("energy", SOME, "Other", "Offshore") is None


def test_what_is_seeded_knows_every_name(owner: Connection) -> None:
    known = lookups.sectors(owner)
    assert {sector for sector, _, _ in known} == {sector for sector, industry, _ in known if not industry}
    assert len({sector for sector, _, _ in known}) == 11
    assert sector_named("Technology", known, "Consumer Electronics") == (
        "Information Technology",
        "Consumer Electronics",
        "",
    )
    for name, ours in SECTOR_NAMES.items():
        assert sector_named(name, known) == (ours, "", "")
    for security in played():
        if security.sector:
            assert sector_named(security.sector, known, security.industry) is not None, security
    assert len({(plain(s), plain(i), plain(b)) for s, i, b in known}) == len(known), "the same name in two spellings"


def test_the_example_of_the_specification_may_be_added(owner: Connection) -> None:
    """With "Technology" as its sector: our name of it is another."""
    example = {"symbol": "AAPL", "exchange": "XNAS", "asset_class": "Equity", "sector": "Technology", "industry": "Consumer Electronics",
               "price": "150.00", "dividend_frequency": "quarterly"}  # fmt: skip
    draft, faults = checked(example, known_of(owner))
    assert faults == []
    assert draft is not None
    row = owner.execute("SELECT sector, industry FROM sectors WHERE sector_id = %s", (draft.sector_id,)).fetchone()
    assert row == ("Information Technology", "Consumer Electronics")
    _, (fault,) = checked(example | {"sector": "Magic"}, known_of(owner))
    assert fault.field == "sector"


def test_what_yahoo_publishes_is_known(owner: Connection) -> None:
    constants = pytest.importorskip("yfinance.const").SECTOR_INDUSTY_MAPPING
    known = lookups.sectors(owner)
    for sector, industries in constants.items():
        for industry in industries:
            assert sector_named(sector, known, industry) is not None, (sector, industry)


def test_what_yahoo_was_recorded_to_say_is_known(owner: Connection, shared: Path) -> None:
    known, read = lookups.sectors(owner), 0
    with zipfile.ZipFile(shared / "data" / "market" / "yahoo_recorded" / "node_yahoo_finance2_fixtures.zip") as archive:
        for name in archive.namelist():
            if "/quoteSummary-assetProfile-" not in name:
                continue
            body = json.loads(archive.read(name))["response"].get("bodyJson") or {}
            for result in (body.get("quoteSummary") or {}).get("result") or []:
                about = result["assetProfile"]
                if about.get("sector"):
                    assert sector_named(about["sector"], known, about["industry"]) is not None, about["industry"]
                    assert country_of(about["country"]) in COUNTRIES
                    read += 1
    assert read > 20


def test_seeding_again_and_upserting_keep_the_numbers(owner: Connection) -> None:
    before = owner.execute("SELECT sector_id, sector, industry, subsector FROM sectors ORDER BY 1").fetchall()
    assert [row[1] for row in before[:3]] == ["Communication Services", "Consumer Discretionary", "Consumer Staples"]
    sql = (ROOT / "db" / "migrations" / "versions" / "0003_lookups.sql").read_text("utf-8")
    owner.execute(sql[sql.index("INSERT INTO sectors") :])
    assert owner.execute("SELECT sector_id, sector, industry, subsector FROM sectors ORDER BY 1").fetchall() == before
    software = market.NewSecurity("X", "X", "XNYS", "USD", "Equity", "Information Technology", "Software")
    market.add_securities(owner, [software])
    assert owner.execute("SELECT count(*) FROM sectors").fetchone() == (len(before),)


def test_every_country_is_there_under_the_name_that_core_has(owner: Connection) -> None:
    rows = owner.execute("SELECT country, name, region FROM countries").fetchall()
    assert {code: name for code, name, _ in rows} == dict(COUNTRIES)
    assert len(rows) == 249
    assert {region for _, _, region in rows} == {
        "North America", "Latin America", "Europe", "Asia", "Oceania", "Africa", "Middle East",
    }  # fmt: skip
    for code, name in COUNTRIES.items():
        assert country_of(name) == country_of(code.lower()) == code
    for name, code in COUNTRY_NAMES.items():
        assert country_of(name.upper()) == code
    assert country_of("Atlantis") is None
    assert country_of("") is None


def test_the_rules_name_the_asset_classes_and_frequencies_there_are(owner: Connection) -> None:
    assert {row[0] for row in owner.execute("SELECT asset_class FROM asset_classes").fetchall()} == set(ASSET_CLASSES)
    (check,) = owner.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'securities_dividend_frequency_check'"
    ).fetchone() or ("",)
    assert set(FREQUENCIES) == set(check.split("'")[1::2])
    carry = {name for name, rules in ASSET_CLASSES.items() if rules.sector}
    assert carry >= {"Equity", "Fund", "Fixed Income", "Real Estate"}
    assert not carry & {"Currency", "Cash", "Commodity", "Crypto", "Index"}
    assert {name for name, rules in ASSET_CLASSES.items() if rules.maturity} == {"Fixed Income", "Other"}
    for security in played():
        assert ASSET_CLASSES[security.asset_class].sector or security.sector is None
        assert ASSET_CLASSES[security.asset_class].dividends or security.dividend_frequency == "none"


def test_did_you_mean() -> None:
    choices = ["Equity", "Fixed Income", "Fund", "Real Estate"]
    assert closest("equty", choices) == ["Equity"]
    assert closest("fixed", choices) == ["Fixed Income"]
    assert closest("estate", choices) == ["Real Estate"]
    assert closest("zzz", choices) == []
    assert closest("", choices) == []
    assert len(closest("aaaa", ["aaab", "aaac", "aaad", "aaae"])) == 3
    assert sector_of(" Healthcare ") == "Health Care"
    assert sector_of("Space Travel ") == "Space Travel"
