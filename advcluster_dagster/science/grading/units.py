"""Units of measurement as powers of base units.

The table is maintained here rather than taken from a units library: answers use few units, any other word is a counted
thing and must remain a word ("6 pin" is not in picoinches), and money is never converted.
"""

import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

Powers = dict[str, int]

#: Alternative spellings of units; plurals are handled separately.
_NAMES = {
    "meter": "m", "metre": "m", "gram": "g", "gramme": "g", "second": "s", "sec": "s", "minute": "min", "hour": "h",
    "hr": "h", "ampere": "A", "amp": "A", "kelvin": "K", "mole": "mol", "newton": "N", "joule": "J", "watt": "W",
    "pascal": "Pa", "volt": "V", "coulomb": "C", "farad": "F", "ohm": "Ω", "Omega": "Ω", "Ω": "Ω", "tesla": "T",
    "henry": "H", "hertz": "Hz", "weber": "Wb", "siemens": "S", "liter": "L", "litre": "L", "l": "L", "degree": "°",
    "deg": "°", "percent": "%", "radian": "rad", "dollar": "$", "USD": "$", "usd": "$", "US$": "$", "euro": "€",
    "EUR": "€", "eur": "€", "GBP": "£", "gbp": "£", "yen": "¥", "JPY": "¥", "jpy": "¥", "rupee": "₹", "INR": "₹",
    "Rs": "₹", "rs": "₹", "CNY": "yuan", "RMB": "yuan", "cent": "¢", "penny": "¢", "pennies": "¢", "inch": "in",
    "inches": "in", "foot": "ft", "feet": "ft", "yard": "yd", "mile": "mi", "ounce": "oz", "lbs": "lb",
    "gallon": "gal", "quart": "qt", "pint": "pt", "tonne": "t", "ton": "short ton", "hectare": "ha", "days": "day",
    "d": "day", "week": "wk", "month": "month", "yr": "year", "calorie": "cal", "Cal": "kcal",
    "dalton": "u", "amu": "u",
    "atmosphere": "atm", "molar": "M", "kph": "km/h", "kmh": "km/h", "kmph": "km/h", "angstrom": "Å", "celsius": "°C",
    "fahrenheit": "°F", "electronvolt": "eV", "cc": "mL", "revolution": "rev", "light year": "ly", "mph": "mph",
    "unit": "", "lumen": "lm", "century": "century", "centuries": "century", "gray": "Gy", "becquerel": "Bq",
    "centigrade": "°C", "micron": "µm",
    "kilohm": "kΩ", "megohm": "MΩ", "ml": "mL", "cl": "cL", "dl": "dL", "µl": "µL", "μl": "µL", "Kg": "kg",
    "KG": "kg", "Km": "km", "KM": "km",
}  # fmt: skip
#: Factor and powers of base units; the mass base unit is the gram. Units of this first table take prefixes.
_WITH_PREFIX: dict[str, tuple[Fraction | int, Powers]] = {
    "m": (1, {"m": 1}), "g": (1, {"g": 1}), "s": (1, {"s": 1}), "A": (1, {"A": 1}), "K": (1, {"K": 1}),
    "mol": (1, {"mol": 1}), "cd": (1, {"cd": 1}), "L": (Fraction(1, 1000), {"m": 3}),
    "eV": (Fraction("1.602176634e-16"), {"g": 1, "m": 2, "s": -2}),
    "rad": (1, {"rad": 1}), "bar": (10**8, {"g": 1, "m": -1, "s": -2}),
    "cal": (Fraction(4184), {"g": 1, "m": 2, "s": -2}), "M": (1000, {"mol": 1, "m": -3}),
    "N": (1000, {"g": 1, "m": 1, "s": -2}), "J": (1000, {"g": 1, "m": 2, "s": -2}),
    "W": (1000, {"g": 1, "m": 2, "s": -3}), "Pa": (1000, {"g": 1, "m": -1, "s": -2}), "C": (1, {"A": 1, "s": 1}),
    "V": (1000, {"g": 1, "m": 2, "s": -3, "A": -1}), "F": (Fraction(1, 1000), {"g": -1, "m": -2, "s": 4, "A": 2}),
    "Ω": (1000, {"g": 1, "m": 2, "s": -3, "A": -2}), "S": (Fraction(1, 1000), {"g": -1, "m": -2, "s": 3, "A": 2}),
    "T": (1000, {"g": 1, "s": -2, "A": -1}), "H": (1000, {"g": 1, "m": 2, "s": -2, "A": -2}),
    "Wb": (1000, {"g": 1, "m": 2, "s": -2, "A": -1}), "Hz": (1, {"s": -1}),
    "Wh": (3_600_000, {"g": 1, "m": 2, "s": -2}),
    "lm": (1, {"lm": 1}), "lx": (1, {"lm": 1, "m": -2}), "Gy": (1, {"m": 2, "s": -2}), "Bq": (1, {"s": -1}),
    "t": (10**6, {"g": 1}),
}  # fmt: skip
_FOOT, _POUND = Fraction("0.3048"), Fraction("453.59237")
_GALLON = Fraction("0.003785411784")
_WITHOUT_PREFIX: dict[str, tuple[Fraction | int, Powers]] = {
    "": (1, {}), "°": (1, {"°": 1}), "%": (1, {"%": 1}), "°C": (1, {"°C": 1}), "°F": (1, {"°F": 1}),
    "min": (60, {"s": 1}), "h": (3600, {"s": 1}), "day": (86_400, {"s": 1}), "wk": (604_800, {"s": 1}),
    "fortnight": (1_209_600, {"s": 1}), "month": (1, {"month": 1}), "year": (12, {"month": 1}),
    "decade": (120, {"month": 1}), "century": (1200, {"month": 1}), "in": (_FOOT / 12, {"m": 1}),
    "ft": (_FOOT, {"m": 1}), "yd": (3 * _FOOT, {"m": 1}), "mi": (5280 * _FOOT, {"m": 1}),
    "mph": (5280 * _FOOT / 3600, {"m": 1, "s": -1}), "km/h": (Fraction(1000, 3600), {"m": 1, "s": -1}),
    "oz": (_POUND / 16, {"g": 1}), "lb": (_POUND, {"g": 1}), "short ton": (2000 * _POUND, {"g": 1}),
    "gal": (_GALLON, {"m": 3}), "qt": (_GALLON / 4, {"m": 3}), "pt": (_GALLON / 8, {"m": 3}),
    "cup": (_GALLON / 16, {"m": 3}), "acre": (43_560 * _FOOT**2, {"m": 2}), "ha": (10_000, {"m": 2}),
    "atm": (101_325_000, {"g": 1, "m": -1, "s": -2}), "u": (1, {"u": 1}), "Å": (Fraction(1, 10**10), {"m": 1}),
    "rev": (1, {"rev": 1}), "rpm": (Fraction(1, 60), {"rev": 1, "s": -1}), "$": (1, {"$": 1}),
    "¢": (Fraction(1, 100), {"$": 1}),
    "€": (1, {"€": 1}), "£": (1, {"£": 1}), "¥": (1, {"¥": 1}), "₹": (1, {"₹": 1}), "yuan": (1, {"yuan": 1}),
    "pound": (1, {"pound": 1}), "AU": (1, {"AU": 1}), "ly": (1, {"ly": 1}), "dB": (1, {"dB": 1}),
}  # fmt: skip
_PREFIXES = {
    "f": -15, "p": -12, "n": -9, "µ": -6, "μ": -6, "m": -3, "c": -2, "d": -1, "h": 2, "k": 3, "M": 6, "G": 9, "T": 12,
}  # fmt: skip
_PREFIX_WORDS = {
    "femto": -15, "pico": -12, "nano": -9, "micro": -6, "milli": -3, "centi": -2, "deci": -1, "kilo": 3, "mega": 6,
    "giga": 9, "tera": 12,
}  # fmt: skip
#: Currency signs and codes, before or after a number.
CURRENCIES = (
    "US$", "USD", "EUR", "GBP", "JPY", "INR", "CHF", "CAD", "AUD", "CNY", "RMB", "KRW", "SEK", "NOK", "DKK", "PLN",
    "MXN", "BRL", "HK$", "A$", "C$", "R$", "Rs.", "Rs", "$", "€", "£", "¥", "₹", "₩", "₽", "₺", "₫", "₪", "฿", "₴",
)  # fmt: skip
_POWER_BEFORE = re.compile(r"\b(square|sq|cubic|cu)\b\.?\s+([A-Za-z]+)", re.IGNORECASE)
_POWER_BEHIND = re.compile(r"([A-Za-z]+)\s+(squared|cubed)\b", re.IGNORECASE)
_CHARACTERS = "A-Za-zµμΩ€£¥₹₩₽₺₫₪฿₴¢$°%Å"
_TOKEN = re.compile(
    rf"(?P<over>/|\b(?:per|an?(?=\s+(?:day|week|month|year|hour|minute|second)))\b)|(?P<symbol>[{_CHARACTERS}]+)(?:\^?\{{?(?P<power>-?[0-9])\}}?)?"
)
_DEGREES_OF = re.compile(r"(?:°|\bdegrees?\b|\bdeg\b)\s*(C|F|K|celsius|centigrade|fahrenheit|kelvin)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Unit:
    """A factor and powers of base units: ``cm/s`` is (1/100, {m: 1, s: -1}); unknown words are base units."""

    factor: Fraction
    powers: frozenset[tuple[str, int]]


@lru_cache(maxsize=4096)
def read_unit(text: str) -> Unit:
    """Parse a unit; symbols after ``/`` or ``per`` have negated powers."""
    factor, powers, sign = Fraction(1), Counter[str](), 1
    for token in _TOKEN.finditer(_spelled_out(text)):
        if token["over"]:
            sign = -1
            continue
        power = sign * int(token["power"] or 1)
        scale, bases = symbol_of(token["symbol"]) or (Fraction(1), {_singular(token["symbol"]): 1})
        factor *= scale**power
        for base, count in bases.items():
            powers[base] += count * power
    return Unit(factor, frozenset((base, power) for base, power in powers.items() if power))


def _spelled_out(text: str) -> str:
    """Replace words for powers and degrees by signs: "square meters" becomes m^2, "degrees Celsius" °C."""
    text = _DEGREES_OF.sub(lambda m: "K" if m[1][0] in "Kk" else "°" + m[1][0].upper(), text)
    text = _POWER_BEFORE.sub(lambda m: f"{m[2]}^{2 if m[1].lower().startswith('s') else 3}", text)
    return _POWER_BEHIND.sub(lambda m: f"{m[1]}^{2 if m[2].lower().startswith('s') else 3}", text)


def convert(value: Fraction, unit: str, into: str) -> Fraction | None:
    """Convert a value to another unit; None if the dimensions differ."""
    source, target = _read_pound(unit, into), _read_pound(into, unit)
    return value * source.factor / target.factor if source.powers == target.powers else None


def _read_pound(text: str, other: str) -> Unit:
    """Parse a unit, reading "pound" as money or mass depending on the other unit."""
    if "pound" not in text.lower():
        return read_unit(text)
    money = bool(re.search(r"£|GBP|pence", other))
    return read_unit(
        re.sub(r"pounds?", "£" if money else "lb" if "pound" not in other else "pound", text, flags=re.IGNORECASE)
    )


def is_unit(text: str) -> bool:
    """Whether every word of a text is a unit of the table written with at least two letters."""
    symbols = [token["symbol"] for token in _TOKEN.finditer(_spelled_out(text)) if token["symbol"]]
    return bool(symbols) and all(len(symbol) > 1 and symbol_of(symbol) is not None for symbol in symbols)


def plain_unit(text: str) -> str:
    """Convert a unit from LaTeX to plain characters."""
    plain = re.sub(r"\^\s*\{\s*(-?[0-9])\s*\}", r"^\1", text)
    plain = re.sub(r"\\(?:text|mathrm|operatorname|textrm|mathsf|rm|mbox)\s*\{([^{}]*)\}", r" \1 ", plain)
    plain = re.sub(r"\^\s*(?:\{\s*)?\\circ\s*\}?|\\degree|\\circ", "°", plain)
    plain = plain.replace(r"\mu", "µ").replace(r"\Omega", "Ω").replace(r"\textmu", "µ").replace("~", " ")
    plain = re.sub(r"\\cdot|\\times", "*", plain)
    plain = re.sub(r"(?<![A-Za-z])(?:([kMmGn])\s+(?=Ω)|(µ)\s+(?=[A-Za-zΩ]))", r"\1\2", plain)  # k\Omega, \mu\text{m}
    return re.sub(r"\s*\^\s*", "^", " ".join(plain.split())).strip()


def _singular(word: str) -> str:
    return word.lower().removesuffix("s") or word


def symbol_of(word: str) -> tuple[Fraction, Powers] | None:
    """Factor and base units of one symbol or name, including its prefix; None for a word that is not a unit."""
    lower = word.lower()
    names = (word, word.removesuffix("s")) if len(word) > 2 else (word,)
    for name in dict.fromkeys((*names, *((lower, lower.removesuffix("s")) if len(word) > 2 else ()))):
        if (definition := _known(_NAMES.get(name, name))) is not None:
            return definition
    for prefix, power in _PREFIX_WORDS.items():
        stem = _NAMES.get(lower.removeprefix(prefix).removesuffix("s"), "")
        if lower.startswith(prefix) and stem in _WITH_PREFIX:
            scale, powers = _WITH_PREFIX[stem]
            return Fraction(10) ** power * scale, powers
    return None


def _known(symbol: str) -> tuple[Fraction, Powers] | None:
    for table in (_WITH_PREFIX, _WITHOUT_PREFIX):
        if symbol in table:
            return Fraction(table[symbol][0]), table[symbol][1]
    prefix, stem = symbol[:1], symbol[1:]
    if prefix in _PREFIXES and stem in _WITH_PREFIX:
        scale, powers = _WITH_PREFIX[stem]
        return Fraction(10) ** _PREFIXES[prefix] * scale, powers
    return None
