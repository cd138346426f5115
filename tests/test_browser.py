"""The main paths in a real Chromium, on the real product with the demo: what a person clicks, and what they see."""

from __future__ import annotations

import contextlib
import csv
import io
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from conftest import ROOT
from playwright.sync_api import Browser, Page, expect
from product import Product

from core import VERSION
from db import embedded

pytestmark = pytest.mark.browser
expect.set_options(timeout=20_000)  # as long as a click waits: a busy machine is no fault
PAGES = (
    "",
    "holdings",
    "allocation",
    "performance",
    "income",
    "risk",
    "compliance",
    "transactions",
    "reconciliation",
    "tax",
    "securities",
    "reports",
    "portfolios",
    "tasks",
    "audit",
    "admin",
)
SHOTS = ROOT / ".shots"


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("browser")
    made = Product(folder / "data", folder / "log.txt")
    made.start()
    yield made
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        made.stop()


class Visit:
    """One browser window, with everything it complained about."""

    def __init__(self, chromium: Browser, product: Product, width: int = 1280, scheme: str = "light") -> None:
        self.base = f"http://127.0.0.1:{product.port}"
        self.context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            accept_downloads=True,  # type: ignore[arg-type]
        )
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.errors: list[str] = []
        self.elsewhere: set[str] = set()
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on(
            "console", lambda m: self.errors.append(m.text) if m.type == "error" and "404" not in m.text else None
        )
        self.page.on(
            "request", lambda r: None if r.url.startswith((self.base, "data:", "blob:")) else self.elsewhere.add(r.url)
        )

    def sign_in(self) -> Page:
        self.page.goto(self.base)
        self.page.get_by_role("button", name="Open the demo").click()
        expect(self.page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
        return self.page

    def open(self, path: str, heading: str | None = None) -> Page:
        self.page.goto(f"{self.base}/{path}")
        if heading:
            expect(self.page.get_by_role("heading", name=heading, level=1)).to_be_visible()
        return self.page

    def settled(self) -> None:
        """Wait until the script has run to its end, and still has a moment later: a click may not have begun it yet."""
        for _ in range(2):
            self.page.locator("[data-test-script-state=notRunning]").first.wait_for(state="attached")
            self.page.wait_for_timeout(300)


@pytest.fixture
def visit(chromium: Browser, product: Product) -> Iterator[Visit]:
    made = Visit(chromium, product)
    yield made
    made.context.close()


def portfolio(product: Product, name: str) -> str:
    return next(p["portfolio_id"] for p in product.get("/api/v1/portfolios") if p["name"] == name)


def test_sign_in_switch_portfolio_and_period(visit: Visit, product: Product) -> None:
    page = visit.page
    page.goto(visit.base)
    page.get_by_label("User name").fill("demo")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("wrong", exact=False).first).to_be_visible()
    visit.sign_in()
    page.get_by_test_id("stSidebar").get_by_test_id("stSelectbox").click()
    page.get_by_role("option", name="Europe Base").click()
    page.wait_for_url(f"**portfolio={portfolio(product, 'Europe Base')}**")
    expect(page.get_by_test_id("stMain").get_by_text("Europe Base").first).to_be_visible()
    page.get_by_test_id("stSidebar").get_by_text("1M", exact=True).click()
    page.wait_for_url("**period=1M**")
    link = page.url
    page.get_by_role("link", name="Performance").click()
    expect(page.get_by_role("heading", name="Performance", level=1)).to_be_visible()
    page.goto(link)  # the link is the whole view
    expect(page.get_by_test_id("stMain").get_by_text("Europe Base").first).to_be_visible()
    expect(page.get_by_test_id("stMain").get_by_text("EUR").first).to_be_visible()
    figures = product.get(f"/api/v1/reports/overview?portfolio={portfolio(product, 'Europe Base')}")["figures"]
    cash = next(f["value"] for f in figures if f["key"] == "cash")
    expect(page.get_by_text(f"{float(cash):,.2f}").first).to_be_visible()
    assert visit.elsewhere == set(), "a page asks nobody else for anything"
    assert visit.errors == []


def test_a_date_that_is_typed_counts_at_enter(visit: Visit) -> None:
    page = visit.sign_in()
    visit.settled()
    typed = page.get_by_test_id("stSidebar").get_by_test_id("stDateInput").get_by_role("spinbutton")
    typed.first.click()
    page.keyboard.type("20260331")
    assert "as_of" not in page.url
    page.keyboard.press("Enter")
    page.wait_for_url("**as_of=2026-03-31**", timeout=40_000)
    page.get_by_text("As it was known").click()
    known = page.get_by_test_id("stSidebar").get_by_test_id("stDateTimeInput").get_by_role("spinbutton")
    known.first.click()
    page.keyboard.type("202604010930")
    page.keyboard.press("Enter")
    page.wait_for_url("**known_at=2026-04-01T09**", timeout=40_000)
    assert visit.errors == []


def test_import_a_file_with_verdicts_then_again(visit: Visit, product: Product, tmp_path: Path) -> None:
    target = portfolio(product, "US Core")
    before = len(product.get(f"/api/v1/reports/transactions?portfolio={target}")["rows"])
    file = tmp_path / "two-good-one-bad.csv"
    file.write_text("date,kind,symbol,quantity,price,gross,currency,note\n2026-10-01,deposit,,,,500.00,USD,browser\n"
                    "2026-10-02,buy,KO,2,60.00,,USD,browser\n2026-10-02,sell,KO,99999,60.00,,USD,browser\n")  # fmt: skip
    visit.sign_in()
    page = visit.open(f"transactions?portfolio={target}", "Transactions")
    page.get_by_role("tab", name="Import CSV").click()
    page.locator("input[type=file]").set_input_files(file)
    book = page.get_by_role("button", name="Book 2 transactions")
    expect(book).to_be_visible()
    expect(book).to_be_disabled()
    page.get_by_text("Book the good rows only").click()
    expect(book).to_be_enabled()
    book.click()
    expect(page.get_by_text("2 transactions", exact=False).first).to_be_visible()
    product.until(
        lambda: len(product.get(f"/api/v1/reports/transactions?portfolio={target}")["rows"]) == before + 2, 20
    )
    visit.open(f"transactions?portfolio={target}", "Transactions")
    page.get_by_role("tab", name="Import CSV").click()
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text("nothing to book", exact=False).first).to_be_visible()
    not_csv = tmp_path / "picture.csv"
    not_csv.write_bytes(b"\x89PNG\x00\x00\x00")
    visit.open(f"transactions?portfolio={target}", "Transactions")
    page.get_by_role("tab", name="Import CSV").click()
    page.locator("input[type=file]").set_input_files(not_csv)
    expect(page.get_by_text("cannot be read", exact=False).first).to_be_visible()


def test_open_a_lot_and_download_its_csv(visit: Visit, product: Product) -> None:
    target = portfolio(product, "Active Income")
    visit.sign_in()
    page = visit.open(f"holdings?portfolio={target}", "Holdings")
    visit.settled()
    grid = page.get_by_test_id("stDataFrame").first
    grid.click(position={"x": 16, "y": 56})  # the box of the first row
    symbol = product.get(f"/api/v1/reports/holdings?portfolio={target}")["rows"][0]["symbol"]
    expect(page.get_by_role("heading", name=f"Lots and gains: {symbol}")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_test_id("stDownloadButton").first.get_by_role("button").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8-sig"))))
    answer = product.get(f"/api/v1/reports/holdings?portfolio={target}")["rows"]
    assert [r["symbol"] for r in rows] == [r["symbol"] for r in answer]
    assert [r["units"] for r in rows] == [r["units"] for r in answer]
    assert {r["calculation_version"] for r in rows} == {VERSION}


def test_sell_chosen_lots_see_the_wash_sale_undo_and_explain_the_gain(visit: Visit, product: Product) -> None:
    """Three purchases of KO: 100 at 60 long ago, 50 at 70 last summer, 50 at 55 ten days ago. Selling 40 of the dearest at 50
    realises 40 x (50 - 70) = -800, and the purchase of ten days ago makes that a wash sale."""
    day = lambda ago: (datetime.now(UTC).date() - timedelta(days=ago)).isoformat()  # noqa: E731
    target = product.send("/api/v1/portfolios", {"name": "Chosen lots", "base_currency": "USD"})["portfolio_id"]
    buys = [("60", "100", 400), ("70", "50", 200), ("55", "50", 10)]
    rows = [
        {"date": day(ago), "kind": "buy", "symbol": "KO", "quantity": units, "price": price}
        for price, units, ago in buys
    ]
    product.send(
        f"/api/v1/transactions?portfolio={target}",
        [{"date": day(400), "kind": "deposit", "gross": "50000", "currency": "USD"}, *rows],
    )
    gains = lambda: product.get(f"/api/v1/reports/realised?portfolio={target}")["rows"]  # noqa: E731
    SHOTS.mkdir(exist_ok=True)

    visit.sign_in()
    page = visit.open(f"transactions?portfolio={target}", "Transactions")
    page.get_by_role("tab", name="New entry").click()
    main = page.get_by_test_id("stMain")
    main.get_by_text("Sell", exact=True).first.click()
    visit.settled()
    main.get_by_test_id("stSelectbox").first.click()
    page.keyboard.type("KO")
    page.get_by_role("option", name="KO", exact=False).first.click()
    for label, value in (("Quantity", "40"), ("Price in USD", "50")):
        page.get_by_role("textbox", name=label).fill(value)
        page.keyboard.press("Tab")
        visit.settled()
    expect(
        main.get_by_text("realised gain \u2212400.00", exact=False)
    ).to_be_visible()  # first in, first out: 40 x (50 - 60)
    page.get_by_text("Choose the lots").click()
    main.get_by_text("Highest cost", exact=True).click()
    expect(main.get_by_text("realised gain \u2212800.00", exact=False)).to_be_visible()
    expect(main.get_by_text("Wash sale: 800.00", exact=False)).to_be_visible()
    visit.settled()
    page.screenshot(path=SHOTS / "chosen_lots_light_1280.png")
    page.get_by_role("button", name="Book it").click()
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_visible()
    assert [(r["opened_on"], r["units"], r["gain"]) for r in gains()] == [(day(200), "40", "-800")]
    undo.click()
    expect(main.get_by_text("Undone", exact=False).first).to_be_visible()
    assert gains() == []

    lot = product.get(f"/api/v1/transactions?portfolio={target}")["transactions"]
    chosen = next(t["transaction_id"] for t in lot if t["price"] and Decimal(t["price"]) == 70)
    sale = {
        "date": day(1),
        "kind": "sell",
        "symbol": "KO",
        "quantity": "40",
        "price": "50",
        "lots": [{"lot": chosen, "units": "40"}],
    }
    product.send(f"/api/v1/transactions?portfolio={target}", sale)
    visit.open(f"holdings?portfolio={target}", "Holdings")
    page.get_by_role("tab", name="Realised gains").click()
    visit.settled()
    grid = page.get_by_test_id("stDataFrame").nth(1)
    box = grid.bounding_box()
    assert box is not None
    for share in (0.72, 0.68, 0.76, 0.64, 0.80, 0.60, 0.56, 0.52, 0.48):  # the columns share the width
        grid.click(position={"x": box["width"] * share, "y": 50})
        visit.settled()
        if page.get_by_text("Gain: KO", exact=False).count():
            break
    expect(page.get_by_text("Gain: KO", exact=False)).to_be_visible()
    expect(page.get_by_text("proceeds \u2212 cost", exact=False).first).to_be_visible()
    expect(page.get_by_text("Worked out again from what is shown here: \u2212800.00", exact=False)).to_be_visible()
    expect(page.get_by_text("History of the lot", exact=False)).to_be_visible()
    page.screenshot(path=SHOTS / "explained_gain_light_1280.png", full_page=True)
    assert visit.errors == []


def test_a_guest_sees_one_portfolio_and_no_buttons(visit: Visit, product: Product) -> None:
    page = visit.page
    page.goto(visit.base)
    page.get_by_label("User name").fill("guest")
    page.get_by_label("Password").fill("guest")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    expect(page.get_by_test_id("stMain").get_by_text("Europe Base").first).to_be_visible()
    visit.open(f"?portfolio={portfolio(product, 'US Core')}")
    expect(page.get_by_text("cannot be opened", exact=False).first).to_be_visible()
    visit.open("transactions", "Transactions")
    visit.settled()
    assert page.get_by_role("tab", name="New entry").count() == 0
    assert "US Core" not in page.content()


def choose(page: Page, label: str, text: str) -> None:
    """Type into a list and take what it finds."""
    page.get_by_role("combobox", name=label, exact=True).click()
    page.keyboard.type(text)
    page.get_by_role("option").first.click()


def test_a_security_is_added_followed_by_two_removed_and_brought_back(
    chromium: Browser, visit: Visit, product: Product
) -> None:
    visit.sign_in()
    page = visit.open("securities", "Securities")
    page.get_by_role("tab", name="Add").click()
    page.get_by_role("textbox", name="Symbol").fill("KO")
    expect(page.get_by_text("Duplicate symbol", exact=False)).to_be_visible()
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.get_by_role("textbox", name="Symbol")).to_have_value("")
    page.get_by_role("textbox", name="Symbol").fill("NOVA")
    expect(page.get_by_text("Duplicate symbol", exact=False)).to_have_count(0)
    choose(page, "Exchange", "XNYS")
    choose(page, "Asset class", "Equity")
    choose(page, "Sector", "Energy")
    page.get_by_role("textbox", name="First price").fill("12.50")
    page.get_by_role("button", name="Show the plan").click()
    for table in ("securities", "security_symbols", "security_classifications", "asset_prices", "price_history"):
        expect(page.locator("code", has_text=re.compile(f"^{table}$")).first).to_be_visible()
    second = Visit(chromium, product)
    held = psycopg.connect(embedded.conninfo("ballast_jobs", data_dir=product.data))
    try:
        held.execute("LOCK TABLE asset_prices IN EXCLUSIVE MODE")
        page.get_by_role("button", name="Confirm").click()
        running = re.compile(r"Add first price\s+·\s+running")
        expect(page.get_by_text(running)).to_be_visible()
        expect(page.locator(".st-key-task_panel h3")).to_be_in_viewport()  # Confirm stood at the end of a long plan
        expect(page.get_by_text(re.compile(r"Add to classifications\s+·\s+completed"))).to_be_visible()
        page.reload()
        expect(page.get_by_text(running)).to_be_visible()
        second.sign_in()
        second.page.goto(page.url)
        expect(second.page.get_by_text(running)).to_be_visible()
    finally:
        held.close()
    for each in (page, second.page):
        expect(each.get_by_text("XNYS:NOVA was added", exact=False)).to_be_visible()
        expect(each.get_by_text(running)).to_have_count(0)
    second.context.close()

    page.get_by_role("button", name="Open XNYS:NOVA").click()
    page.get_by_role("button", name="Remove").wait_for()
    number = parse_qs(urlsplit(page.url).query)["security"][0]
    was = product.send(
        "/api/v1/portfolios", {"name": "Was measured", "base_currency": "USD", "benchmark_id": int(number)}
    )
    headers = {"Authorization": f"Bearer {product.token}"}
    path = f"{visit.base}/api/v1/portfolios/{was['portfolio_id']}?version={was['version']}"
    assert page.request.delete(path, headers=headers).ok
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("It stays, since it was the benchmark of", exact=False)).to_be_visible()
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("NOVA is retired", exact=False)).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("XNYS:NOVA was reinstated", exact=False)).to_be_visible()
    expect(page.get_by_text("NOVA is retired", exact=False)).to_have_count(0)
    assert visit.errors == []

    guest = Visit(chromium, product)
    guest.page.goto(guest.base)
    guest.page.get_by_label("User name").fill("guest")
    guest.page.get_by_label("Password").fill("guest")
    guest.page.get_by_role("button", name="Sign in").click()
    expect(guest.page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    guest.open(f"securities?security={number}", "Securities")
    expect(guest.page.get_by_role("heading", name="NOVA", exact=False)).to_be_visible()
    guest.settled()
    for name in ("Edit", "Remove", "More"):
        assert guest.page.get_by_role("button", name=name, exact=True).count() == 0
    guest.open("securities", "Securities")
    expect(guest.page.get_by_role("tab", name="Catalogue")).to_be_visible()
    assert guest.page.get_by_role("tab", name="Add").count() == 0
    guest.context.close()
    token = product.send("/api/v1/auth/login", {"username": "guest", "password": "guest"})["access_token"]
    wanted = {"symbol": "FORCED", "exchange": "XNYS", "asset_class": "Equity"}
    forced = page.request.post(
        f"{visit.base}/api/v1/securities", data=wanted, headers={"Authorization": f"Bearer {token}"}
    )
    assert forced.status == 403, forced.text()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_opens_whole(chromium: Browser, product: Product, width: int, scheme: str) -> None:
    """No error box, no sideways scrolling, nothing asked from outside; a picture of each is kept in .shots."""
    visit = Visit(chromium, product, width, scheme)
    visit.sign_in()
    SHOTS.mkdir(exist_ok=True)
    for path in PAGES:
        page = visit.open(path)
        expect(page.get_by_role("heading", level=1).first).to_be_visible()
        visit.settled()
        assert page.get_by_test_id("stException").count() == 0, path
        wide, shown = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= shown, f"{path} scrolls sideways: {wide} > {shown}"
        page.screenshot(path=SHOTS / f"{path or 'overview'}_{scheme}_{width}.png")
    assert visit.elsewhere == set()
    assert visit.errors == []
    visit.context.close()
