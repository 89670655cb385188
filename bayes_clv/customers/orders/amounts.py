"""Amounts as text: plain numbers as they stand, or with decimal mark, thousands separators and currency signs.

``decimal`` says which mark is which, since 1.234 is one amount in London and another in Berlin. Without it only plain
numbers are read; what would read the column is told in the error.
"""

from typing import Any

NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"

SIGNS = "$€£¥₹₽₩₺₫₴₪฿₦₱₡₲₵₸"
_LETTERS = "A-Za-zČčŁłŻżŠšÖöÄä"
# Blanks: plain, unbreakable, thin and narrow.
_BLANK = "[ \u00a0\u2009\u202f]"
CURRENCY = f"(?:[{_LETTERS}]{{0,3}}[{SIGNS}][A-Za-z]{{0,3}}|[{_LETTERS}]{{1,4}})"

# A dash in the place of hundredths, as in 12,- or CHF 12.–, is no minus.
_NO_HUNDREDTHS = r"([0-9])[.,](?:--?|–|—)([^0-9]*)$"
# What would pass for a currency and says another amount than the digits: thousands and millions, hundredths, credits
# and debits (banks disagree about which of the two is negative), and a sign that is there twice.
_OTHERWISE = (
    r"(?i)[0-9.,][ \x{00a0}]*(?:k|t|m|mn|mm|mio|mln|mrd|b|bn|c|p|ct|cts|cent|cr|dr)[ )-]*$|^[ (+−-]*(?:cr|dr)[ ]*[0-9]"
    r"|[+−-].*[+−-]"
)


def pattern(decimal: str) -> str:
    """Return the pattern of an amount; its first or second group holds the number, the second of one in brackets."""
    mark, other = ("[.]", ",") if decimal == "." else (",", ".")
    thousands = f"[{other}'’ \u00a0\u2009\u202f]"
    whole = f"[0-9]{{1,3}}(?:{thousands}[0-9]{{2,3}})*{thousands}[0-9]{{3}}|[0-9]+"
    number = f"((?:{whole})(?:{mark}[0-9]*)?|{mark}[0-9]+)"
    money = f"{_BLANK}*{CURRENCY}?{_BLANK}*"
    plain = f"[+−-]?{money}[+−-]?{number}{money}-?"
    return f"^(?:{plain}|[(]{money}{number}{money}[)])$"


def read_amount(text: Any, decimal: str | None) -> Any:
    """Return an Ibis column of text as float64, null where it is no amount."""
    import ibis

    if decimal is None:
        return ibis.ifelse(text.re_search(NUMBER), text, ibis.null("string")).try_cast("float64")
    shape = pattern(decimal)
    text = text.re_replace(_NO_HUNDREDTHS, r"\1\2")
    # Of a group that takes no part some engines give an empty text, others (PostgreSQL) nothing at all.
    number = text.re_extract(shape, 1).fill_null("") + text.re_extract(shape, 2).fill_null("")
    digits = number.re_replace("[^0-9.]" if decimal == "." else "[^0-9,]", "").replace(",", ".")
    meant = text.re_search(shape) & ~text.re_search(_OTHERWISE)
    amount = ibis.ifelse(meant, digits, ibis.null("string")).try_cast("float64")
    return ibis.ifelse(text.re_search(r"^[(]|[−-]"), -amount, amount)


def currency_of(text: Any) -> Any:
    """Return the currency sign or code of an Ibis column of amounts, empty where there is none."""
    return text.re_extract(f"({CURRENCY})", 1)
