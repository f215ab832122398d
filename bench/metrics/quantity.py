"""Numbers in answers against numbers in references, by value: separators, signs, scales, percent, currencies and units.

Pure functions. Where an answer is a sentence, each of its numbers is looked at that the question does not give.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from bench.core.normalisation import BEFORE_WORD, DASHES

LISTED = 3  # values in an answer, beyond which it lists what it may be
TOLERANCE = 0.01  # relative: 1.58 billion is 1,577 million
SCALES = {
    "hundred": 1e2,
    "thousand": 1e3,
    "million": 1e6,
    "millions": 1e6,
    "mn": 1e6,
    "billion": 1e9,
    "billions": 1e9,
    "bn": 1e9,
    "trillion": 1e12,
    "tn": 1e12,
}
_LONG = {"billion": 1e12, "billionen": 1e12, "billones": 1e12, "bilioni": 1e12, "billions": 1e12, "biljoen": 1e12}
OTHERS = {  # scales of other languages; a billion of most is a million millions
    "de": {"tausend": 1e3, "tsd": 1e3, "millionen": 1e6, "mio": 1e6, "milliarde": 1e9, "milliarden": 1e9, "mrd": 1e9},
    "es": {"mil": 1e3, "mill\u00f3n": 1e6, "millon": 1e6, "millones": 1e6},
    "fr": {"mille": 1e3, "milliard": 1e9, "milliards": 1e9, "md": 1e9, "mds": 1e9},
    "it": {"mila": 1e3, "milione": 1e6, "milioni": 1e6, "miliardo": 1e9, "miliardi": 1e9},
    "nl": {"duizend": 1e3, "miljoen": 1e6, "miljard": 1e9},
    "pt": {"mil": 1e3, "milh\u00e3o": 1e6, "milh\u00f5es": 1e6, "bilh\u00e3o": 1e9, "bilh\u00f5es": 1e9},
    "zh": {"\u5341": 1e1, "\u767e": 1e2, "\u5343": 1e3, "\u4e07": 1e4, "\u842c": 1e4, "\u4ebf": 1e8, "\u5104": 1e8},
    "ja": {"\u5343": 1e3, "\u4e07": 1e4, "\u5104": 1e8, "\u5146": 1e12},
}
LETTERS = {"m": 1e6, "b": 1e9}
OF_MONEY = {"mm": 1e6, "k": 1e3}  # scales beside a currency; else a millimetre and a kelvin, but for 5k
COUNTED = ("day", "week", "month", "year")  # units that things are counted by
CURRENCIES = {
    name: code
    for code, names in {
        "usd": "$ us$ usd dollar dollars",
        "eur": "\u20ac eur euro euros",
        "gbp": "\u00a3 gbp pound pounds",
        "jpy": "\u00a5 jpy yen",
        "inr": "\u20b9 inr rs rupee rupees",
        "chf": "chf franc francs",
        "cny": "cny rmb yuan",
        "krw": "\u20a9 krw won",
        "rub": "\u20bd rub rouble roubles ruble rubles",
        "cad": "c$ cad",
        "aud": "a$ aud",
        "brl": "r$ brl",
        "sek": "sek",
        "nok": "nok",
        "dkk": "dkk",
        "pln": "pln",
        "try": "\u20ba try lira",
        "mxn": "mxn",
        "zar": "zar rand",
    }.items()
    for name in names.split()
}
UNITS = {  # how a unit may be written; others are one where they differ by a plural alone
    name: names.split()[0]
    for names in (
        "second s sec secs seconds sekunde sekunden segundo segundos seconde secondes secondi seconden",
        "minute min mins minutes minuten minuto minutos minuti",
        "hour h hr hrs hours stunde stunden std hora horas heure heures ore uur",
        "year yr yrs years jahr jahre jahren a\u00f1o a\u00f1os ann\u00e9e ann\u00e9es an ans anno anni ano anos jaar",
        "month months monat monate monaten mes meses mois mese mesi m\u00eas maand maanden",
        "week weeks woche wochen semana semanas semaine semaines settimana settimane weken",
        "day d days tag tage d\u00eda d\u00edas dia dias jour jours giorno giorni dag dagen",
        "millisecond ms msec milliseconds",
        "metre m meter meters metres",
        "kilometre km kilometer kilometers kilometres",
        "centimetre cm centimeter centimeters centimetres",
        "millimetre mm millimeter millimeters millimetres",
        "gram g gram grams",
        "kilogram kg kilo kilos kilograms",
        "tonne t tonnes ton tons",
        "litre l liter liters litres",
        "degree deg degrees",
        "celsius c centigrade",
        "fahrenheit f",
        "kelvin k",
        "volt v volts",
        "ampere amp amps amperes",
        "watt w watts",
        "kilowatt kw kilowatts",
        "hertz hz",
        "newtonmetre nm",
        "megawatt megaw megawatts",
        "megapascal megapa megapascals",
        "megajoule megaj megajoules",
        "megavolt megav megavolts",
        "milliwatt mw milliwatts",
        "kilovolt kv kilovolts",
        "milliampere ma milliamp milliamps milliamperes",
        "kilowatthour kwh kilowatthours",
        "kilopascal kpa kilopascals",
        "decibel db decibels",
        "ohm \u03c9 ohms",
        "kilohertz khz",
        "megahertz megahz",
        "gigahertz ghz",
        "kilobyte kb kilobytes",
        "megabyte mb megabytes",
        "gigabyte gb gigabytes",
        "terabyte tb terabytes",
        "milligram mg milligrams",
        "microgram \u00b5g \u03bcg mcg micrograms",
        "millilitre ml milliliter milliliters millilitres",
        "micrometre \u00b5m \u03bcm micron microns micrometer micrometers micrometres",
        "foot ft feet",
        "mile mi miles",
        "pound lb lbs gbp pounds",
        "ounce oz ounces",
        "mph miles/h mi/h",
        "km/h kmh kph",
        "m/s mps",
        "rpm r/min rev/min",
        "squaremetre m\u00b2 sqm",
        "cubicmetre m\u00b3",
    )
    for name in names.split()
}
PAIRS = {  # units of two words, or the first two of more
    "degree celsius": "celsius",
    "degrees celsius": "celsius",
    "degrees centigrade": "celsius",
    "degrees fahrenheit": "fahrenheit",
    "square metres": "squaremetre",
    "square meters": "squaremetre",
    "cubic metres": "cubicmetre",
    "cubic meters": "cubicmetre",
    "kilowatt hours": "kilowatthour",
    "newton metres": "newtonmetre",
    "newton meters": "newtonmetre",
    "miles per": "mph",
    "kilometres per": "km/h",
    "kilometers per": "km/h",
    "metres per": "m/s",
    "meters per": "m/s",
    "revolutions per": "rpm",
}
NO_SHARES = frozenset((*UNITS, "ppm", "ppb", "basis", "bps"))  # beside these a number is none, or none of a hundred
COMMA = frozenset(
    [
        "bg",
        "cs",
        "da",
        "de",
        "el",
        "es",
        "et",
        "fi",
        "fr",
        "hr",
        "hu",
        "id",
        "it",
        "lt",
        "lv",
        "nb",
        "nl",
        "no",
        "pl",
        "pt",
        "ro",
        "ru",
        "sk",
        "sl",
        "sr",
        "sv",
        "tr",
        "uk",
        "vi",
    ]
)
PERCENT = {"%", "percent", "percentage", "pct"}
NO_UNIT = {
    *[
        "a",
        "an",
        "and",
        "as",
        "at",
        "but",
        "by",
        "for",
        "from",
        "in",
        "is",
        "it",
        "of",
        "on",
        "or",
        "per",
        "than",
        "that",
        "the",
        "this",
        "to",
        "was",
        "were",
        "which",
        "with",
    ]
}
_SIGNS = r"[$\u20ac\u00a3\u00a5\u20b9\u20a9\u20bd\u20ba]"
_CODES = "|".join(sorted(set(CURRENCIES.values())))
_SEPARATOR = re.compile(r"(?<=\d)[.,](?=\d)")
_ABOUT = re.compile(  # what may stand before the number that a reference is
    r"^\W*(?:(?:about|around|approximately|approx|roughly|nearly|almost|some|circa|ca|over|under|up to|at least|"
    r"at most|more than|less than|a total of|the)\W*)*$",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    rf"(?P<open>\()?(?P<before>(?:us|c|a|r)\$|{_SIGNS}|\b(?:{_CODES})\b)?\s?"
    rf"(?P<sign>(?<![)]){BEFORE_WORD}[-+])?\s?(?P<before2>{_SIGNS})?"
    rf"(?<!\d-)(?<![^\W\d_]-)(?P<digits>(?<![.]){BEFORE_WORD}\d{{1,3}}(?:[,' ]\d{{3}})+(?:\.\d+)?(?![\d-]|[.,]\d)"
    rf"|(?<![.,]){BEFORE_WORD}\d{{1,3}}(?:\.\d{{3}}){{2,}}(?![\d]|[.,]\d|-\d)"  # 1.000.000
    rf"|(?<![.,]){BEFORE_WORD}\d{{1,2}}(?:,\d{{2}})+,\d{{3}}(?:\.\d+)?(?![\d]|[.,]\d|-\d)"  # 1,00,000
    rf"|(?<![.,]){BEFORE_WORD}\d+(?:\.\d+)?(?:e[+-]?\d{{1,2}}(?!\w))?(?![\d]|[.,]\d|-\d)|(?<![.]){BEFORE_WORD}\.\d+)"
    r"(?P<after>(?:\s?%|\s?-?\s?\u00b0?\s?[^\W\d_]+\.?(?:/[^\W\d_]+)?){0,2})(?P<close>\))?",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"[\d\u00bc-\u00be]")
_DENIED = re.compile(r"\b(?:not|rather than|instead of)\s*$", re.IGNORECASE)
_MINUS = re.compile(r"(?<!\d )\b(?:minus|negative) (?=[\d.])", re.IGNORECASE)
# what lower case would make a thousandth of
_MEGA = re.compile(r"(?<=\d)(\s?)M(?=(?:Wh?|Pa|J|V|A|g|Hz|[Oo]hms?|\u03a9|\u2126)\b)")
_POWER = re.compile(
    r"(?<=\d)\s?[x\u00d7\u00b7*]\s?10"
    r"(?:\^([-+]?\d{1,2})|([\u207a\u207b]?[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+))(?!\w)"
)
_RAISED = str.maketrans("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207a\u207b", "0123456789+-")
_FRACTIONS = {0xBC: ".25", 0xBD: ".5", 0xBE: ".75"}
_IN = re.compile(r"\bin (?:usd |us\$ |\$ ?|eur |euros? )?(thousand|million|billion)s?\b", re.IGNORECASE)


@dataclass(frozen=True)
class Quantity:
    """A value, whether it was said in percent, and its currency or unit where one was said. `scaled`: its scale, such
    as million, was said with it. `bracketed`: it stands in brackets of its own, which may be a sign."""

    value: float
    percent: bool
    unit: str
    scaled: bool
    bracketed: bool = False


@lru_cache(4096)
def quantities(text: str, language: str = "en") -> tuple[Quantity, ...]:
    """Every number in a text, in order, but for those that it denies. What could be read in two ways, such as 3,5 in
    English, is none."""
    if not _DIGIT.search(text):
        return ()
    read = plain(text, language)
    found = (match for match in _NUMBER.finditer(read) if not _DENIED.search(read[: match.start()]))
    return tuple(_quantity(match, language) for match in found)


@cache
def _scales(language: str) -> Mapping[str, float]:
    """word -> what it multiplies a number by."""
    own = language.split("-")[0]
    return {**SCALES, **(_LONG if own in ("de", "es", "fr", "it", "nl") else {}), **OTHERS.get(own, {})}


def _scaled(words: list[str], language: str) -> float | None:
    """The factor that the words after a number begin with, which is taken off them; None where there is none. In
    Chinese and Japanese it stands before the unit without a space."""
    known = _scales(language)
    if words and words[0] in known:
        return known[words.pop(0)]
    if words and language.split("-")[0] in ("zh", "ja") and words[0][0] in known:
        factor, words[0] = known[words[0][0]], words[0][1:]
        return factor
    return None


def plain(text: str, language: str) -> str:
    """The text with the separators of English: 1.200,50 is 1,200.50 where the language has a decimal comma. A half is
    .5, minus 40 is -40, 2 \u00d7 10^6 is 2e6, and MW, which is not mW, is megaW."""
    found = text.translate(DASHES)
    if language.split("-")[0] in COMMA:
        found = _SEPARATOR.sub(lambda mark: "." if mark[0] == "," else ",", found)
    found = _POWER.sub(lambda power: f"e{power[1] or power[2].translate(_RAISED)}", found.translate(_FRACTIONS))
    return _MEGA.sub(r"\1mega", _MINUS.sub("-", found))


def _quantity(match: re.Match[str], language: str) -> Quantity:
    digits = re.sub(r"[,' ]", "", match["digits"])
    value = float(digits.replace(".", "") if digits.count(".") > 1 else digits)
    words = [word.strip(".-") for word in re.findall(r"%|\u00b0|[^\W\d_]+(?:/[^\W\d_]+)?", match["after"].lower())]
    before = (match["before"] or match["before2"] or "").lower().strip()
    factor = _scaled(words, language)
    of_money = before in CURRENCIES or any(word in CURRENCIES for word in words)
    if factor is None and words and words[0] in OF_MONEY and (of_money or match["after"][:1] in "kK"):
        factor = OF_MONEY[words.pop(0)]
    letter = re.match(r"\s?([MmBb])\b", match["after"])  # $12.5m, 12.5M: of money, or a capital beside the digits
    if factor is None and letter and (before in CURRENCIES or match["after"][:1] in "MB"):
        factor = LETTERS[letter[1].lower()]
        words.pop(0)
    bracketed = bool(match["open"] and match["close"])
    alone = bracketed and match[0].strip() == match.string.strip()  # as accountants write what is below zero
    first = next((word for word in words if word != "\u00b0"), "degree" if words else "")
    pair = PAIRS.get(" ".join(word for word in words if word != "\u00b0"))
    unit = CURRENCIES.get(before) or pair or CURRENCIES.get(first) or ("" if first in NO_UNIT | PERCENT else first)
    negative = match["sign"] == "-" or alone
    signed = (-1 if negative else 1) * value * (factor or 1)
    return Quantity(signed, first in PERCENT, unit, factor is not None, bracketed and not alone)


def numeric(answer: str, references: Sequence[str], question: str = "", language: str = "en") -> float | None:
    """1 where the answer says a reference's value within TOLERANCE, else 0; None where a reference is no number. Whole
    numbers that are said without a scale, counts and years, must be the same.

    A sign, a currency or a unit that both say must agree; brackets within a sentence may be a sign. A question that
    asks "in millions" scales what says no scale. Of an answer that lists more than LISTED values the first and the last
    count.
    """
    known = [_of_reference(reference, language) for reference in references]
    if not known or any(quantity is None for quantity in known):
        return None
    given = {(q.value, q.percent) for q in quantities(question, language)}
    every = quantities(answer, language)
    said = [q for q in every if (q.value, q.percent) not in given or len(every) == 1]
    if len({q.value for q in said}) > LISTED:
        said = [said[0], said[-1]]
    said += [replace(q, value=-q.value) for q in said if q.bracketed]
    asked = _IN.search(question)
    scale = SCALES[asked[1].lower()] if asked else 1.0
    return float(any(_same(mine, its, scale) for mine in said for its in known if its))


@lru_cache(4096)
def _of_reference(text: str, language: str) -> Quantity | None:
    """The number that a reference is: it and at most three words, none of them before it. "Article 4" is a name."""
    matches = list(_NUMBER.finditer(plain(text, language))) if _DIGIT.search(text) else []
    if len(matches) != 1 or len(re.findall(r"[^\W\d_]+", text)) > 3:
        return None
    return _quantity(matches[0], language) if _ABOUT.match(text[: matches[0].start()]) else None


def _is_count(quantity: Quantity) -> bool:
    """Whether it is a whole number without a scale, per cent or unit of measure: a year, a number of things."""
    whole = not quantity.scaled and not quantity.percent and float(quantity.value).is_integer()
    return whole and UNITS.get(quantity.unit, "day") in COUNTED


def _same(mine: Quantity, its: Quantity, scale: float) -> bool:
    tolerance = 0.0 if _is_count(mine) and _is_count(its) else TOLERANCE
    if mine.unit and its.unit and not _alike(mine.unit, its.unit):
        return False
    if mine.percent != its.percent and not NO_SHARES.isdisjoint((mine.unit, its.unit)):
        return False  # what has a unit is no share
    values = {mine.value} if mine.scaled else {mine.value, mine.value * scale}
    wanted = {its.value} if its.scaled else {its.value, its.value * scale}
    if mine.percent != its.percent:  # 0.123 is 12.3%, where only one of them says percent
        values = {value / 100 if mine.percent else value for value in values} | values
        wanted = {value / 100 if its.percent else value for value in wanted} | wanted
    return any(math.isclose(v, w, rel_tol=tolerance) for v in values for w in wanted)


def _alike(a: str, b: str) -> bool:
    """Whether two units are one: the same, a plural, or two ways to write it."""
    one, other = (UNITS.get(unit, unit.rstrip("s") or unit) for unit in (a, b))
    return one == other
