"""Another name in the place of a row's target: the label stays, so the answer should.

Serves the fairness figures (Prabhakaran et al. 2019, perturbation sensitivity) and augmentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain

from undertone_models.labelled import LabelledRow
from undertone_models.pairs import Span

COMPANY_GROUPS: Mapping[str, tuple[str, ...]] = {
    "American": (
        "Microsoft", "Walmart", "Coca-Cola", "Boeing", "Pfizer", "Goldman Sachs", "Ford",
        "Starbucks", "Intel", "Procter & Gamble", "Chevron", "Caterpillar",
    ),
    "European": (
        "Siemens", "Nestlé", "Unilever", "BMW", "Santander", "AstraZeneca", "Ericsson", "Airbus",
        "Heineken", "Deutsche Bank", "TotalEnergies", "Vodafone",
    ),
    "Asian": (
        "Toyota", "Samsung", "Tencent", "Infosys", "Sony", "Hyundai", "Tata Motors", "Alibaba",
        "SoftBank", "Foxconn", "Mitsubishi", "Wipro",
    ),
    "African and Latin American": (
        "Petrobras", "Naspers", "Embraer", "Dangote Cement", "Cemex", "Safaricom", "Itaú",
        "Standard Bank", "América Móvil", "Sasol", "Natura", "MTN",
    ),
    "invented": (
        "Velmora", "Brightwell Foods", "Northgate Systems", "Quantara", "Halden Motors", "Zephyrix",
        "Ostrava Steelworks", "Lumetra", "Castlebrook Bank", "Orivane", "Pellinor Energy",
        "Kestora",
    ),
}  # fmt: skip
"""Companies by where their seat is; the invented ones stand for those a model has never read."""

COUNTRY_GROUPS: Mapping[str, tuple[str, ...]] = {
    "Western Europe": ("France", "Germany", "Spain", "Italy", "Sweden", "Portugal"),
    "Eastern Europe": ("Poland", "Romania", "Ukraine", "Hungary", "Bulgaria", "Serbia"),
    "North America and Oceania": ("Canada", "Australia", "New Zealand", "America", "Mexico"),
    "Latin America": ("Brazil", "Argentina", "Colombia", "Peru", "Chile", "Venezuela"),
    "Africa": ("Nigeria", "Kenya", "Ethiopia", "Ghana", "South Africa", "Senegal"),
    "Middle East": ("Iran", "Iraq", "Egypt", "Saudi Arabia", "Jordan", "Turkey"),
    "South Asia": ("India", "Pakistan", "Bangladesh", "Sri Lanka", "Nepal"),
    "East Asia": ("China", "Japan", "South Korea", "Vietnam", "Thailand", "Malaysia"),
}
"""Countries by region, those that headlines name without an article."""

WOMENS_NAMES: Mapping[str, tuple[str, ...]] = {
    "English": ("Emily", "Claire", "Margaret", "Hannah"),
    "African American": ("Lakisha", "Ebony", "Latoya", "Keisha"),
    "Hispanic": ("Guadalupe", "Ximena", "Esperanza", "Marisol"),
    "Arabic": ("Fatima", "Aisha", "Layla", "Khadija"),
    "Indian": ("Priya", "Lakshmi", "Ananya", "Deepika"),
    "Chinese": ("Xiaoling", "Meiling", "Yuhan", "Lihua"),
    "Slavic": ("Svetlana", "Oksana", "Agnieszka", "Milica"),
    "West African": ("Ngozi", "Adaeze", "Folake", "Abena"),
}
MENS_NAMES: Mapping[str, tuple[str, ...]] = {
    "English": ("Jake", "Connor", "Geoffrey", "Harry"),
    "African American": ("Jamal", "DeShawn", "Tyrone", "Darnell"),
    "Hispanic": ("Alejandro", "Guillermo", "Joaquín", "Mateo"),
    "Arabic": ("Mohammed", "Ahmed", "Omar", "Khalid"),
    "Indian": ("Rahul", "Vikram", "Arjun", "Suresh"),
    "Chinese": ("Haoran", "Zhiwei", "Jianguo", "Weimin"),
    "Slavic": ("Dmitri", "Bogdan", "Wojciech", "Miroslav"),
    "West African": ("Chukwudi", "Kwame", "Babatunde", "Emeka"),
}
"""Given names by origin; the English and African American contrast is Bertrand and
Mullainathan's (2004)."""

COMPANIES: tuple[str, ...] = tuple(chain.from_iterable(COMPANY_GROUPS.values()))
COUNTRIES: tuple[str, ...] = tuple(chain.from_iterable(COUNTRY_GROUPS.values()))
GIVEN_NAMES: tuple[str, ...] = tuple(
    chain.from_iterable([*WOMENS_NAMES.values(), *MENS_NAMES.values()])
)

_OTHER_COUNTRIES = """
Afghanistan Algeria Austria Belgium Britain Croatia Cuba Cyprus Denmark Ecuador England Finland
Greece Iceland Indonesia Ireland Israel Kuwait Lebanon Libya Morocco Myanmar Netherlands Norway
Philippines Qatar Russia Scotland Singapore Slovakia Slovenia Somalia Sudan Switzerland Syria
Taiwan Tunisia Uganda Yemen Zimbabwe
"""
_ALL_COUNTRIES = frozenset(COUNTRIES) | frozenset(_OTHER_COUNTRIES.split()) | {"North Korea"}

# What financial rows name beside companies: markets, things traded, authorities, groups, places.
_NO_COMPANY_WORDS = """
10-year almond aluminium asia asian auto aviation bank banks bond bonds brent bse bullion capital
cardamom castorseed cement central chana chilli cnx coffee commexes commission commodities copper
coriander corn cotton crops crude cues currencies currency debt diesel djia dollar dow ecb
equities equity euro europe european exchange exports fdi fed fii fiis fmc fmcg forex ftse fund
funds future futures fx g20 gas gdp gold government group guar gur imf inc index indian indices
infra insurers irda it jeera jgbs kospi lead lme maize market markets mcx mentha metal metals mf
mfs mid-cap mid-caps midcap midcaps mmtc msci mustard nasdaq natural ncdex nickel nifty nifty50
nikkei nse nymex oil oils omcs opec p-notes palm pepper pharma platinum potato pound psu psus rate
rates rbi real realty refined ringgit rouble rubber ruble rupee rupiah s&p sat sebi sector sectors
sensex share shares silver small-cap smallcap smallcaps soya soyabean soybean spices spot steel
sterling stock stocks street sugar tea tech telecom treasury turmeric u.s. us wall wheat won world
yen yields yuan zinc
"""
_NO_COMPANY = frozenset(_NO_COMPANY_WORDS.split())
_COMPANY_ENDING_WORDS = """
ag airlines airways bank brewery capital chemicals co communications corp corporation electronics
energy financial foods gmbh group holdings inc industries insurance labs limited llc ltd motors
pharma pharmaceuticals plc power sa securities software steel systems technologies tyres
"""
_COMPANY_ENDINGS = frozenset(_COMPANY_ENDING_WORDS.split())
_FINANCE_IN_SOURCE = ("fin", "stock", "earning", "business")


def swapped(row: LabelledRow, replacement: str) -> LabelledRow | None:
    """The row about `replacement`: in the text and as its target; the label stays.

    With a span, the text changes there alone, and the new span is the replacement's; without one,
    at every whole-word occurrence of the target, and the new row has no span either. None where the
    row has no target or the text does not hold it, or where replacing would run into a word.
    """
    if row.target is None:
        return None
    spans = [row.span] if row.span else occurrences(row.text, row.target)
    if not spans or (row.span and not _stands_alone(row.text, row.span)):
        return None
    parts, end = [], 0
    for start, stop in spans:
        parts += [row.text[end:start], replacement]
        end = stop
    text = "".join([*parts, row.text[end:]])
    span = (row.span[0], row.span[0] + len(replacement)) if row.span else None
    return row._replace(text=text, target=replacement, span=span)


def occurrences(text: str, name: str) -> list[Span]:
    """Where `name` stands in the text as whole words, letter case as given, none overlapping."""
    if not name:
        return []
    return [match.span() for match in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text)]


def is_country(row: LabelledRow) -> bool:
    """Whether the target is the plain name of a country."""
    return row.target in _ALL_COUNTRIES


def is_company(row: LabelledRow) -> bool:
    """Whether the target looks like a company's name; wrong now and then, the same every time.

    Yes for one of COMPANIES, and for a name that ends as companies' do (Ltd, Bank, Motors…); in
    rows whose source speaks of finance, for any capitalised name of up to four words that holds no
    word of markets, goods, currencies, authorities or countries.
    """
    name = row.target
    if name is None or not name[:1].isalnum() or name.endswith(("'s", "’s")):
        return False
    words = name.split()
    if name in COMPANIES:
        return True
    if name in _ALL_COUNTRIES or not name[0].isupper() or len(words) > 4:
        return False
    lower = [word.lower() for word in words]
    if len(words) > 1 and lower[-1] in _COMPANY_ENDINGS and words[-1][0].isupper():
        return lower[0] not in _NO_COMPANY | {"the", "a"}
    if not any(part in row.source.lower() for part in _FINANCE_IN_SOURCE):
        return False
    return not any(word in _NO_COMPANY or word.capitalize() in _ALL_COUNTRIES for word in lower)


def _stands_alone(text: str, span: Span) -> bool:
    """Whether neither neighbour of the span would grow together with what takes its place."""
    start, end = span
    before, after = text[start - 1 : start], text[end : end + 1]
    return not (before.isalnum() or before == "_" or after.isalnum() or after == "_")
