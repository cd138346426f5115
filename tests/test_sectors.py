"""Admins add to the taxonomy: what may be added, by whom, that it can be used at once, and that the trail says it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from conftest import ROOT
from small import Small, installed
from streamlit.testing.v1 import AppTest
from test_securities_api import fresh, problem, worked

from core.master import InvalidSector
from core.sectors import DuplicateSector, checked
from ui import session

KNOWN = [("Energy", "", ""), ("Energy", "Oil & Gas Drilling", ""), ("Energy", "Oil & Gas Drilling", "Offshore"), ("Health Care", "", ""),
         ("Information Technology", "", ""), ("Industrials", "", ""), ("Industrials", "Airlines", "")]  # fmt: skip


def cells(*names: str) -> dict[str, str]:
    return dict(zip(("sector", "industry", "subsector"), names, strict=False))


@pytest.mark.parametrize(
    ("names", "row"),
    [
        (("Water",), ("Water", "", "")),
        (("  Deep   Space ",), ("Deep Space", "", "")),
        (("energy", "Wind"), ("Energy", "Wind", "")),  # what is there is spelled as it stands there
        (("ENERGY", "oil and gas drilling", "Onshore"), ("Energy", "Oil & Gas Drilling", "Onshore")),
        (("Tech", "Quantum"), ("Information Technology", "Quantum", "")),  # by somebody else's name of it
        (("Health Care", "Airlines"), ("Health Care", "Airlines", "")),  # of another sector
    ],
)
def test_what_may_be_added(names: tuple[str, ...], row: tuple[str, str, str]) -> None:
    assert checked(cells(*names), KNOWN) == row


@pytest.mark.parametrize(
    ("names", "field", "kind", "words"),
    [
        ((), "sector", InvalidSector, "the name of the sector is needed"),
        (("Energy", "", "Deep"), "industry", InvalidSector, "name that too"),
        (("Nowhere", "Wind"), "sector", InvalidSector, "add it first"),
        (("Energy", "Wind", "Offshore"), "industry", InvalidSector, "there is none of this name in Energy"),
        (("energy",), "sector", DuplicateSector, "there is Energy already"),
        (("health–care",), "sector", InvalidSector, "did you mean Health Care"),
        (("Technology",), "sector", DuplicateSector, "another name of Information Technology"),
        (("Industial",), "sector", InvalidSector, "did you mean Industrials"),
        (("Energy", "oil and gas drilling"), "industry", DuplicateSector, "there is Oil & Gas Drilling already"),
        (("Energy", "Oil & Gas Driling"), "industry", InvalidSector, "did you mean Oil & Gas Drilling"),
        (("Energy", "Oil & Gas Drilling", "OFFSHORE"), "subsector", DuplicateSector, "there is Offshore already"),
        (("x" * 81,), "sector", InvalidSector, "up to 80"),
        (("a\x00b",), "sector", InvalidSector, "printable"),
    ],
)
def test_what_may_not_be_added_names_its_field(
    names: tuple[str, ...], field: str, kind: type[InvalidSector], words: str
) -> None:
    with pytest.raises(kind) as refused:
        checked(cells(*names), KNOWN)
    assert refused.value.field == field
    assert words in refused.value.expected


def test_who_is_sure_adds_what_is_nearly_called_so() -> None:
    assert checked(cells("Energy", "Oil & Gas Driling"), KNOWN, sure=True) == ("Energy", "Oil & Gas Driling", "")
    with pytest.raises(DuplicateSector):
        checked(cells("Energy", "oil & gas drilling"), KNOWN, sure=True)


# --- the product ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(server: Any) -> Iterator[Small]:
    with installed(server) as made:
        yield made


def test_an_admin_adds_and_anybody_uses_it(small: Small) -> None:
    anna, ben = small.client("anna"), small.client("ben")
    said = problem(
        ben.patch("/v1/securities/BOLT", json={"sector": "Fusion", "industry": "Tokamaks"}), 422, "invalid-sector"
    )
    assert "an admin adds others under Securities, Sectors" in said["expected"]
    for body in (
        {"sector": "Fusion"},
        {"sector": "fusion", "industry": "Tokamaks"},
        {"sector": "Fusion", "industry": "Tokamaks", "subsector": "Magnets"},
    ):
        answer = anna.post("/v1/sectors", json=body)
        assert answer.status_code == 201, answer.text
    assert (answer.json()["sector"], answer.json()["industry"], answer.json()["subsector"]) == (
        "Fusion",
        "Tokamaks",
        "Magnets",
    )
    assert answer.json() in ben.get("/v1/sectors").json()
    task = ben.patch("/v1/securities/BOLT", json={"sector": "Fusion", "industry": "Tokamaks", "subsector": "magnets"})
    assert task.status_code == 202, task.text
    worked()
    found = ben.get("/v1/securities/BOLT").json()
    assert (found["sector"], found["industry"], found["subsector"]) == ("Fusion", "Tokamaks", "Magnets")
    assert ben.post("/v1/securities", json=fresh(sector="Fusion")).status_code == 202


def test_only_admins_add(small: Small) -> None:
    problem(small.client("ben").post("/v1/sectors", json={"sector": "Mine"}), 403, "access-denied")
    assert small.client().post("/v1/sectors", json={"sector": "Mine"}).status_code == 401


def test_what_is_wrong_is_said_by_the_api(small: Small) -> None:
    anna = small.client("anna")
    said = problem(anna.post("/v1/sectors", json={"sector": "ENERGY"}), 409, "duplicate-sector")
    assert (said["field"], said["value"], said["expected"]) == ("sector", "ENERGY", "there is Energy already")
    said = problem(anna.post("/v1/sectors", json={"sector": "Energy", "industry": "Uranum"}), 422, "invalid-sector")
    assert (said["field"], "did you mean Uranium" in said["expected"]) == ("industry", True)
    assert anna.post("/v1/sectors", json={"sector": "Energy", "industry": "Uranum", "sure": True}).status_code == 201


def test_two_at_once_add_one(small: Small) -> None:
    anna, name = small.client("anna"), f"Twin {uuid4().hex}"
    with ThreadPoolExecutor(4) as at_once:
        answers = list(at_once.map(lambda _: anna.post("/v1/sectors", json={"sector": name}), range(4)))
    assert sorted(a.status_code for a in answers) == [201, 409, 409, 409]


def test_the_trail_says_who_added_what(small: Small) -> None:
    name = f"Trail {uuid4().hex}"
    number = small.client("anna").post("/v1/sectors", json={"sector": name}).json()["sector_id"]
    with small.database.owner() as c:
        row = c.execute(
            "SELECT actor_name, action, source, after FROM audit_log WHERE entity = 'sectors' AND entity_key = %s",
            (str(number),),
        ).fetchone()
    assert row is not None
    assert row[:3] == ("anna", "inserted", "api")
    assert row[3]["sector"] == name


@pytest.mark.parametrize("who", ["anna", "ben"])
def test_the_page_lists_them_and_admins_add(small: Small, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    monkeypatch.setattr(session, "token", lambda: small.tokens[who])
    at = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=60).run()
    at.switch_page("securities.py").run()
    at.session_state["securities_tabs"] = "Sectors"
    at.run()
    assert not at.exception
    fields = {str(t.key).rpartition("_")[2]: t for t in at.text_input if str(t.key).startswith("sector_")}
    if who == "ben":
        assert not fields
        return
    fields["sector"].set_value("Energy")
    fields["industry"].set_value("uranium")
    (add,) = [b for b in at.button if b.label == "Add"]
    add.click().run()
    assert any("There is Uranium already" in str(m.value) for m in at.markdown)
    fields = {str(t.key).rpartition("_")[2]: t for t in at.text_input if str(t.key).startswith("sector_")}
    fields["industry"].set_value("Tidal")
    next(b for b in at.button if b.label == "Add").click().run()
    assert not at.exception
    assert any("Energy / Tidal is added" in str(s.value) for s in at.success)
