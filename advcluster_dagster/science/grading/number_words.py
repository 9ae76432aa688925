"""English words for whole numbers."""

import re

_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_UNITS = {word: n for n, word in enumerate(_SMALL)} | {word: 10 * n for n, word in enumerate(_TENS, 2)}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
#: All words that occur in number names.
NUMBER_WORDS = frozenset({*_UNITS, *_SCALES, "hundred"})


def read_number_words(text: str) -> int | None:
    """Parse an English number of 0 to below 10^15; None for any other text.

    Tens must precede units and scales must decrease: "one two" is not a number.
    """
    words = re.sub(r"(?<=[a-z])-(?=[a-z])|,(?=\s)|\band\b", " ", text.lower()).split()
    if not words or not set(words) <= NUMBER_WORDS:
        return None
    total, group, last, last_scale = 0, 0, 1000, 10**15
    for word in words:
        if word in _SCALES:
            if not group or _SCALES[word] >= last_scale:
                return None
            last_scale = _SCALES[word]
            total, group, last = total + group * last_scale, 0, 1000
        elif word == "hundred":
            if not 0 < group < 10:
                return None
            group, last = group * 100, 100
        else:
            value = _UNITS[word]
            if not (last >= 100 or (last >= 20 and 0 < value < 10)):
                return None
            group, last = group + value, value if value >= 20 else 0
    return total + group
