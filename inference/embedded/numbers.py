"""Numbers as people say them, both ways."""

ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
VALUES = {word: value for value, word in enumerate(ONES)}
VALUES |= {word: 20 + 10 * i for i, word in enumerate(TENS)} | {"a": 1, "oh": 0}

RULES = {
    "digit": " | ".join(ONES[1:10]),
    "small": f"{' | '.join([ONES[0], *ONES[10:]])} | <digit> | ({' | '.join(TENS)}) [<digit>]",
    "hundreds": "<small> | (a | <digit>) hundred [[and] <small>]",
    "number": "[minus | negative] (<hundreds> | (a | one) thousand)",
}
"""The phrase rules of a spoken whole number, -1000 to 1000."""


def number_of(words: str) -> int:
    """The value of a spoken whole number, "minus two hundred and five". Raises KeyError."""
    total = part = 0
    sign = 1
    for word in words.split():
        if word in ("minus", "negative"):
            sign = -1
        elif word == "hundred":
            part = max(part, 1) * 100
        elif word == "thousand":
            total, part = total + max(part, 1) * 1000, 0
        elif word != "and":
            part += VALUES[word]
    return sign * (total + part)


def words_of_number(value: float) -> str:
    """A number in words, fractions to two places: -2.5 is "minus two point five"."""
    rounded = round(value, 2)
    if rounded < 0:
        return f"minus {words_of_number(-rounded)}"
    whole = int(rounded)
    digits = f"{rounded:.2f}".partition(".")[2].rstrip("0")
    text = _whole(whole)
    return text + (f" point {' '.join(ONES[int(d)] for d in digits)}" if digits else "")


def _whole(value: int) -> str:
    if value < 20:
        return ONES[value]
    if value < 100:
        tens = TENS[value // 10 - 2]
        return f"{tens}-{ONES[value % 10]}" if value % 10 else tens
    for size, name in ((1_000_000, "million"), (1000, "thousand"), (100, "hundred")):
        if value >= size:
            head, rest = divmod(value, size)
            joint = " and " if name == "hundred" else " "
            return f"{_whole(head)} {name}" + (f"{joint}{_whole(rest)}" if rest else "")
    raise AssertionError(value)


_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth"}
_ORDINALS |= {"nine": "ninth", "twelve": "twelfth"}


def ordinal_of(value: int) -> str:
    """The place in a row, below a hundred: 21 is "twenty-first"."""
    head, dash, last = _whole(value).rpartition("-")
    last = f"{last[:-1]}ieth" if last.endswith("y") else _ORDINALS.get(last, f"{last}th")
    return f"{head}{dash}{last}"
