"""How securities are classified: what an asset class may carry, what others call our sectors, countries, and "did you mean".

The sectors and their industries stand in the database (seeded in `0003_lookups.sql`); here is what does not depend on an
installation. To teach it another name for a sector, add a line to SECTOR_NAMES; for a country, to COUNTRY_NAMES.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

Sector = tuple[str, str, str]  # sector, industry, subsector; "" where there is none


@dataclass(frozen=True, slots=True)
class Rules:
    """What a security of an asset class may have."""

    sector: bool = False
    maturity: bool = False  # a maturity date and a par value
    dividends: bool = False


ASSET_CLASSES: Mapping[str, Rules] = {
    "Equity": Rules(sector=True, dividends=True),
    "Fixed Income": Rules(sector=True, maturity=True),  # a coupon is interest
    "Commodity": Rules(),
    "Currency": Rules(),
    "Cash": Rules(),
    "Fund": Rules(sector=True, dividends=True),
    "Real Estate": Rules(sector=True, dividends=True),
    "Crypto": Rules(),
    "Other": Rules(sector=True, maturity=True, dividends=True),
    "Index": Rules(),
}
FREQUENCIES = ("monthly", "quarterly", "semi-annual", "annual", "irregular", "none")

# what others call a sector → what we call it
SECTOR_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("Technology", "Tech", "IT", "Electronic Technology", "Technology Services"), "Information Technology"),
    **dict.fromkeys(("Financial Services", "Financial", "Finance", "Financial Service"), "Financials"),
    **dict.fromkeys(("Healthcare", "Health", "Health Technology", "Health Services"), "Health Care"),
    **dict.fromkeys(("Consumer Cyclical", "Consumer Cyclicals", "Consumer Services", "Cyclical Consumer Goods"), "Consumer Discretionary"),
    **dict.fromkeys(("Consumer Defensive", "Consumer Non-Cyclical", "Consumer Non-Cyclicals", "Consumer Goods"), "Consumer Staples"),
    **dict.fromkeys(("Basic Materials", "Raw Materials", "Material"), "Materials"),
    **dict.fromkeys(("Communication", "Communications", "Telecommunication Services", "Telecommunications", "Telecom"), "Communication Services"),
    **dict.fromkeys(("Industrial", "Industrial Goods", "Industrial Goods and Services"), "Industrials"),
    **dict.fromkeys(("Utility",), "Utilities"),
    **dict.fromkeys(("Realty", "Property"), "Real Estate"),
}  # fmt: skip

# ISO 3166: code → name
COUNTRIES: Mapping[str, str] = {
    "AD": "Andorra", "AE": "United Arab Emirates", "AF": "Afghanistan", "AG": "Antigua and Barbuda", "AI": "Anguilla", "AL": "Albania",
    "AM": "Armenia", "AO": "Angola", "AQ": "Antarctica", "AR": "Argentina", "AS": "American Samoa", "AT": "Austria", "AU": "Australia",
    "AW": "Aruba", "AX": "Åland Islands", "AZ": "Azerbaijan", "BA": "Bosnia and Herzegovina", "BB": "Barbados", "BD": "Bangladesh", "BE": "Belgium",
    "BF": "Burkina Faso", "BG": "Bulgaria", "BH": "Bahrain", "BI": "Burundi", "BJ": "Benin", "BL": "Saint Barthélemy", "BM": "Bermuda",
    "BN": "Brunei", "BO": "Bolivia", "BQ": "Caribbean Netherlands", "BR": "Brazil", "BS": "Bahamas", "BT": "Bhutan", "BV": "Bouvet Island",
    "BW": "Botswana", "BY": "Belarus", "BZ": "Belize", "CA": "Canada", "CC": "Cocos (Keeling) Islands", "CD": "DR Congo",
    "CF": "Central African Rep.", "CG": "Congo", "CH": "Switzerland", "CI": "Ivory Coast", "CK": "Cook Islands", "CL": "Chile", "CM": "Cameroon",
    "CN": "China", "CO": "Colombia", "CR": "Costa Rica", "CU": "Cuba", "CV": "Cape Verde", "CW": "Curaçao", "CX": "Christmas Island",
    "CY": "Cyprus", "CZ": "Czech Republic", "DE": "Germany", "DJ": "Djibouti", "DK": "Denmark", "DM": "Dominica", "DO": "Dominican Republic",
    "DZ": "Algeria", "EC": "Ecuador", "EE": "Estonia", "EG": "Egypt", "EH": "Western Sahara", "ER": "Eritrea", "ES": "Spain", "ET": "Ethiopia",
    "FI": "Finland", "FJ": "Fiji", "FK": "Falkland Islands", "FM": "Micronesia", "FO": "Faroe Islands", "FR": "France", "GA": "Gabon",
    "GB": "United Kingdom", "GD": "Grenada", "GE": "Georgia", "GF": "French Guiana", "GG": "Guernsey", "GH": "Ghana", "GI": "Gibraltar",
    "GL": "Greenland", "GM": "Gambia", "GN": "Guinea", "GP": "Guadeloupe", "GQ": "Equatorial Guinea", "GR": "Greece",
    "GS": "South Georgia and the South Sandwich Islands", "GT": "Guatemala", "GU": "Guam", "GW": "Guinea-Bissau", "GY": "Guyana", "HK": "Hong Kong",
    "HM": "Heard Island and McDonald Islands", "HN": "Honduras", "HR": "Croatia", "HT": "Haiti", "HU": "Hungary", "ID": "Indonesia",
    "IE": "Ireland", "IL": "Israel", "IM": "Isle of Man", "IN": "India", "IO": "British Indian Ocean Territory", "IQ": "Iraq", "IR": "Iran",
    "IS": "Iceland", "IT": "Italy", "JE": "Jersey", "JM": "Jamaica", "JO": "Jordan", "JP": "Japan", "KE": "Kenya", "KG": "Kyrgyzstan",
    "KH": "Cambodia", "KI": "Kiribati", "KM": "Comoros", "KN": "Saint Kitts and Nevis", "KP": "North Korea", "KR": "South Korea", "KW": "Kuwait",
    "KY": "Cayman Islands", "KZ": "Kazakhstan", "LA": "Laos", "LB": "Lebanon", "LC": "Saint Lucia", "LI": "Liechtenstein", "LK": "Sri Lanka",
    "LR": "Liberia", "LS": "Lesotho", "LT": "Lithuania", "LU": "Luxembourg", "LV": "Latvia", "LY": "Libya", "MA": "Morocco", "MC": "Monaco",
    "MD": "Moldova", "ME": "Montenegro", "MF": "Saint Martin", "MG": "Madagascar", "MH": "Marshall Islands", "MK": "North Macedonia", "ML": "Mali",
    "MM": "Myanmar", "MN": "Mongolia", "MO": "Macao", "MP": "Northern Mariana Islands", "MQ": "Martinique", "MR": "Mauritania", "MS": "Montserrat",
    "MT": "Malta", "MU": "Mauritius", "MV": "Maldives", "MW": "Malawi", "MX": "Mexico", "MY": "Malaysia", "MZ": "Mozambique", "NA": "Namibia",
    "NC": "New Caledonia", "NE": "Niger", "NF": "Norfolk Island", "NG": "Nigeria", "NI": "Nicaragua", "NL": "Netherlands", "NO": "Norway",
    "NP": "Nepal", "NR": "Nauru", "NU": "Niue", "NZ": "New Zealand", "OM": "Oman", "PA": "Panama", "PE": "Peru", "PF": "French Polynesia",
    "PG": "Papua New Guinea", "PH": "Philippines", "PK": "Pakistan", "PL": "Poland", "PM": "Saint Pierre and Miquelon", "PN": "Pitcairn",
    "PR": "Puerto Rico", "PS": "Palestine", "PT": "Portugal", "PW": "Palau", "PY": "Paraguay", "QA": "Qatar", "RE": "Réunion", "RO": "Romania",
    "RS": "Serbia", "RU": "Russia", "RW": "Rwanda", "SA": "Saudi Arabia", "SB": "Solomon Islands", "SC": "Seychelles", "SD": "Sudan",
    "SE": "Sweden", "SG": "Singapore", "SH": "Saint Helena", "SI": "Slovenia", "SJ": "Svalbard and Jan Mayen", "SK": "Slovakia",
    "SL": "Sierra Leone", "SM": "San Marino", "SN": "Senegal", "SO": "Somalia", "SR": "Suriname", "SS": "South Sudan",
    "ST": "São Tomé and Príncipe", "SV": "El Salvador", "SX": "Sint Maarten", "SY": "Syria", "SZ": "Eswatini", "TC": "Turks and Caicos Islands",
    "TD": "Chad", "TF": "French Southern Territories", "TG": "Togo", "TH": "Thailand", "TJ": "Tajikistan", "TK": "Tokelau", "TL": "Timor-Leste",
    "TM": "Turkmenistan", "TN": "Tunisia", "TO": "Tonga", "TR": "Turkey", "TT": "Trinidad and Tobago", "TV": "Tuvalu", "TW": "Taiwan",
    "TZ": "Tanzania", "UA": "Ukraine", "UG": "Uganda", "UM": "US Minor Outlying Islands", "US": "United States", "UY": "Uruguay",
    "UZ": "Uzbekistan", "VA": "Vatican City", "VC": "Saint Vincent and the Grenadines", "VE": "Venezuela", "VG": "British Virgin Islands",
    "VI": "US Virgin Islands", "VN": "Vietnam", "VU": "Vanuatu", "WF": "Wallis and Futuna", "WS": "Samoa", "YE": "Yemen", "YT": "Mayotte",
    "ZA": "South Africa", "ZM": "Zambia", "ZW": "Zimbabwe",
}  # fmt: skip
# what others call a country → its code
COUNTRY_NAMES: Mapping[str, str] = {
    "Bolivia, Plurinational State of": "BO", "Brunei Darussalam": "BN", "Burma": "MM", "Cabo Verde": "CV", "Congo, Democratic Republic of the": "CD",
    "Cote d'Ivoire": "CI", "Côte d'Ivoire": "CI", "Czechia": "CZ", "England": "GB", "Great Britain": "GB", "Holland": "NL", "Hong Kong SAR China": "HK",
    "Iran, Islamic Republic of": "IR", "Korea": "KR", "Korea, Republic of": "KR", "Republic of Korea": "KR", "Macau": "MO", "Macedonia": "MK",
    "Moldova, Republic of": "MD", "People's Republic of China": "CN", "Russian Federation": "RU", "Scotland": "GB", "Swaziland": "SZ",
    "Syrian Arab Republic": "SY", "Taiwan, Province of China": "TW", "Tanzania, United Republic of": "TZ", "The Bahamas": "BS",
    "The Netherlands": "NL", "Türkiye": "TR", "Turkiye": "TR", "U.S. Virgin Islands": "VI", "UAE": "AE", "UK": "GB",
    "United Kingdom of Great Britain and Northern Ireland": "GB", "United States of America": "US", "USA": "US", "U.S.": "US",
    "Venezuela, Bolivarian Republic of": "VE", "Viet Nam": "VN", "Virgin Islands, British": "VG",
}  # fmt: skip

_DASH = re.compile(r"\s*[-‐‑‒–—―]+\s*")
_SPACE = re.compile(r"[\s_/]+")


def plain(text: str) -> str:
    """A name without what does not tell it from another: case, kinds of dash, spaces around them, "&" for "and"."""
    return _SPACE.sub(" ", _DASH.sub("-", text.casefold().replace("&", " and "))).strip()


_OURS = {plain(name): ours for name, ours in SECTOR_NAMES.items()}
_CODES = {plain(name): code for code, name in COUNTRIES.items()} | {plain(n): c for n, c in COUNTRY_NAMES.items()}


def sector_of(text: str) -> str:
    """The sector that a name of somebody else's means in ours; an unknown name comes back as it is."""
    return _OURS.get(plain(text), text.strip())


def sector_named(text: str, known: Iterable[Sector], industry: str = "", subsector: str = "") -> Sector | None:
    """The row of the dimension that is meant, spelled as it stands there; None where there is none.

    A sector goes by our name or by somebody else's, in any case; an industry has to be one of its sector. Where only
    `text` is given it may also be the name of an industry that one sector alone has.
    """
    rows = list(known)
    sector = plain(sector_of(text))
    within = [row for row in rows if plain(row[0]) == sector]
    if within and not industry and not subsector:
        return next((row for row in within if not row[1] and not row[2]), (within[0][0], "", ""))
    if not within and not industry:
        alone = [row for row in rows if row[1] and plain(row[1]) == plain(text) and plain(row[2]) == plain(subsector)]
        return alone[0] if len(alone) == 1 else None
    wanted = (plain(industry), plain(subsector))
    return next((row for row in within if (plain(row[1]), plain(row[2])) == wanted), None)


def country_of(text: str) -> str | None:
    """The ISO code of a country's name (or the code itself); None where there is no such country."""
    code = text.strip().upper()
    return code if code in COUNTRIES else _CODES.get(plain(text))


def closest(text: str, choices: Iterable[str]) -> list[str]:
    """At most three of these that somebody may have meant, the likeliest first."""
    by_name = {plain(choice): choice for choice in choices}
    wanted = plain(text)
    found = get_close_matches(wanted, by_name, n=3, cutoff=0.6)
    found += [n for n in by_name if len(wanted) >= 3 and (n.startswith(wanted) or f" {wanted}" in n) and n not in found]
    return [by_name[name] for name in found[:3]]
