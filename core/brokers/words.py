"""What headers and transactions are called in English, German, Dutch and French: guesses for a map of the user's own.

To teach it a word, add it to the line of what it means; words are compared without case, accents and punctuation.
"""

from __future__ import annotations

import re
import unicodedata


def bare(text: str) -> str:
    """A word without case, accents and punctuation: "Trade Date" and "trade_date" are both "trade date"."""
    letters = unicodedata.normalize("NFKD", text.casefold().replace("ß", "ss"))
    return re.sub(r"[\W_]+", " ", "".join(c for c in letters if not unicodedata.combining(c))).strip()


# our column → what it is called, best guess first
HEADERS: dict[str, tuple[str, ...]] = {
    "date": (
        *("trade date", "transaction date", "tradedate", "date of trade", "order date", "execution date", "run date"),
        *("handelsdatum", "transaktionsdatum", "transactiedatum", "date d operation", "date operation", "date"),
        *("datum", "buchungstag", "boekdatum", "activity date", "booking date", "time", "datetime", "date time"),
        *("timestamp", "zeitpunkt", "tijdstip", "traded on"),
    ),
    "kind": (
        *("kind", "transaction type", "activity type", "type", "action", "side", "buy sell", "transaction", "activity"),
        *("typ", "art", "transaktion", "transaktionstyp", "vorgang", "buchungsart", "soort", "transactie", "operation"),
        *("type d operation", "sens", "transactietype", "event"),
    ),
    "symbol": (
        *("symbol", "ticker", "ticker symbol", "code", "instrument", "security", "stock", "asset", "kurzel", "symbole"),
        *("instrument symbol", "fonds"),
    ),
    "isin": ("isin", "instrument isin", "isin code", "code isin"),
    "name": (
        *("name", "company", "security name", "description", "security description", "instrument name", "product"),
        *("bezeichnung", "wertpapier", "wertpapiername", "produkt", "naam", "libelle", "valeur", "nom", "title"),
    ),
    "quantity": (
        *("quantity", "shares", "units", "qty", "no of shares", "number of shares", "volume", "stuck", "stucke"),
        *("anzahl", "anteile", "nominale", "aantal", "quantite", "nombre", "nombre de titres", "stuks", "menge"),
    ),
    "price": (
        *("price", "unit price", "price per share", "per share cost", "share price", "trade price", "price share"),
        *("average price", "rate", "kurs", "preis", "kurs pro stuck", "koers", "prijs", "cours", "prix", "t price"),
    ),
    "gross": (
        *("gross", "gross amount", "txn dollars", "amount", "total amount", "net amount", "settle amount net", "total", "value"),
        *("settle amount", "market value", "betrag", "gesamtbetrag", "wert", "umsatz", "ausmachender betrag"),
        *("bedrag", "totaal", "mutatie", "montant", "montant net", "montant brut", "trade value", "net cash"),
    ),
    "fees": (
        *("fees", "fee", "commission", "commissions", "fees comm", "transaction fee", "gebuhren", "gebuhr", "kosten"),
        *("provision", "transactiekosten", "frais", "commission frais", "frais de courtage", "brokerage", "costs"),
    ),
    "taxes": (
        *("taxes", "tax", "withholding tax", "withholding", "steuern", "steuer", "quellensteuer", "belasting"),
        *("bronbelasting", "dividendbelasting", "impot", "impots", "taxe", "tax withheld"),
    ),
    "currency": (
        *("currency", "ccy", "currency code", "currencyprimary", "account currency", "wahrung", "valuta", "munt"),
        *("devise", "monnaie", "waehrung"),
    ),
    "fx": ("fx", "fx rate", "exchange rate", "wechselkurs", "devisenkurs", "wisselkoers", "taux de change", "taux"),
    "ratio": ("ratio", "split ratio"),
    "settlement": (
        *("settlement", "settlement date", "settle date", "value date", "valuta datum", "valutadatum", "wertstellung"),
        *("date de valeur", "date valeur", "settles on"),
    ),
    "exchange": ("exchange", "market", "venue", "borse", "handelsplatz", "beurs", "bourse", "place"),
    "note": (
        *("note", "notes", "comment", "comments", "memo", "details", "notiz", "kommentar", "bemerkung"),
        *("verwendungszweck", "omschrijving", "opmerking", "commentaire", "remarque", "libelle operation"),
    ),
    "reference": (
        *("reference", "id", "transaction id", "order id", "trade id", "order number", "referenz", "auftragsnummer"),
        *("ordernummer", "referentie", "numero d ordre", "position id"),
    ),
    "account": ("account", "account number", "account id", "konto", "kontonummer", "rekening", "compte", "depot"),
}  # fmt: skip

# what it does → what it is called; "trade", "transfer" and the like are rules of core.brokers.columns
KINDS: dict[str, tuple[str, ...]] = {
    "buy": (
        *("buy", "bought", "purchase", "b", "you bought", "market buy", "limit buy", "stop buy", "buy market"),
        *("buy limit", "buy to open", "kauf", "gekauft", "sparplan", "koop", "aankoop", "gekocht", "achat", "acheter"),
        *("souscription", "compra", "savings plan"),
    ),
    "sell": (
        *("sell", "sold", "sale", "s", "you sold", "market sell", "limit sell", "stop sell", "sell market"),
        *("sell limit", "sell to close", "verkauf", "verkauft", "verkoop", "verkocht", "vente", "vendre", "cession"),
        *("rachat", "venta", "redemption"),
    ),
    "short": ("short", "sell short", "short sell", "sell to open", "leerverkauf"),
    "cover": ("cover", "buy to cover", "short cover", "buy to close"),
    "dividend": (
        *("dividend", "dividends", "div", "cash dividend", "dividend received", "qualified dividend", "distribution"),
        *("ordinary dividend", "dividende", "ausschuttung", "ertragsgutschrift", "uitkering", "dividenduitkering"),
        *("coupon", "dividendes", "dividendo", "payment in lieu", "payment in lieu of dividends"),
    ),
    "reinvest": (
        *("drip", "dividend reinvestment", "reinvestment", "reinvest", "reinvest dividend", "wiederanlage"),
        *("herbelegging", "reinvestissement"),
    ),
    "interest": (
        *("interest", "interest earned", "interest payment", "credit interest", "debit interest", "interest on cash"),
        *("bank interest", "interest paid", "interest received", "zins", "zinsen", "rente", "rentevergoeding"),
        *("interet", "interets", "lending interest"),
    ),
    "fee": (
        *("fee", "fees", "commission", "custody fee", "service fee", "account fee", "management fee", "gebuhr"),
        *("gebuhren", "kosten", "depotgebuhr", "provision", "frais", "frais de garde", "droits de garde", "adr fee"),
        *("advisor fee", "platform fee"),
    ),
    "tax": (
        *("tax", "taxes", "withholding tax", "withholding", "foreign tax paid", "foreign tax withholding", "steuer"),
        *("steuern", "quellensteuer", "kapitalertragsteuer", "belasting", "dividendbelasting", "bronbelasting"),
        *("impot", "impots", "prelevement fiscal", "taxe", "stamp duty"),
    ),
    "deposit": (
        *("deposit", "cash deposit", "contribution", "cash in", "top up", "cash top up", "wire received", "einzahlung"),
        *("einlage", "storting", "versement", "depot", "apport", "virement recu", "electronic funds transfer received"),
    ),
    "withdrawal": (
        *("withdrawal", "cash withdrawal", "withdraw", "cash out", "wire sent", "auszahlung", "entnahme", "opname"),
        *("terugstorting", "retrait", "prelevement", "virement emis", "electronic funds transfer paid"),
    ),
    "transfer": ("transfer", "cash transfer", "uberweisung", "overboeking", "virement", "deposits withdrawals"),
    "units": ("security transfer", "journaled shares", "depotubertrag", "transfert de titres"),
    "transfer_in": ("transfer in", "einlieferung", "overboeking in", "livraison"),
    "transfer_out": ("transfer out", "auslieferung", "overboeking uit"),
    "split": ("split", "stock split", "share split", "reverse split", "aktiensplit", "aandelensplitsing"),
    "return_of_capital": ("return of capital", "kapitalruckzahlung", "kapitaalteruggave", "remboursement de capital"),
    "spin_off": ("spin off", "spinoff", "abspaltung", "afsplitsing", "scission"),
    "merger": ("merger", "fusion", "fusie"),
    "symbol_change": ("symbol change", "name change", "ticker change", "namensanderung", "naamswijziging"),
    "fx": (
        *("forex", "fx", "fx conversion", "currency conversion", "currency exchange", "devisentausch", "wahrungswechsel"),
        *("valutaconversie", "change", "conversion de devises"),
    ),
    "fx_in": ("fx in", "fx credit", "valuta creditering"),
    "fx_out": ("fx out", "fx debit", "valuta debitering"),
}  # fmt: skip

COLUMN_OF = {word: (column, rank) for column, words in HEADERS.items() for rank, word in enumerate(words)}
KIND_OF = {word: kind for kind, words in KINDS.items() for word in words}


def kind_of(text: str) -> str | None:
    """What a broker's word for a transaction means: the whole text, else its longest known beginning."""
    word = bare(text)
    if word in KIND_OF:
        return KIND_OF[word]
    parts = word.split()
    for n in range(len(parts) - 1, 0, -1):
        if (found := KIND_OF.get(" ".join(parts[:n]))) and len(" ".join(parts[:n])) > 1:
            return found
    return None
