"""Quantities: `500m` of a core, `64Mi` of memory, as Kubernetes writes them.

Values are exact: thousandths, in integers. The accepted form is
`<number><suffix>` with suffixes n u m k M G T P E, Ki Mi Gi Ti Pi Ei, or an exponent (`1e9`).
"""

import re
from decimal import ROUND_CEILING, Decimal
from functools import total_ordering

QUANTITY_RULE = "must be a quantity such as 2, 0.5, 500m, 64Mi or 1e9"

_FORM = re.compile(
    r"([+-]?)([0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})([A-Za-z]{0,2}|[eE][+-]?[0-9]{1,2})\Z"
)
_SUFFIXES = {
    "n": Decimal(10) ** -9, "u": Decimal(10) ** -6, "m": Decimal(10) ** -3, "": Decimal(1),
    "k": Decimal(10) ** 3, "M": Decimal(10) ** 6, "G": Decimal(10) ** 9, "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15, "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10, "Mi": Decimal(2) ** 20, "Gi": Decimal(2) ** 30, "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50, "Ei": Decimal(2) ** 60,
}  # fmt: skip
# Kubernetes' own bound: no quantity beyond 2^63 - 1.
LIMIT = Decimal(2**63 - 1)


class QuantityInvalid(ValueError):
    """The text is not a quantity, or is out of range."""


@total_ordering
class Quantity:
    """An amount, with the text it was written in. Equal amounts are equal, whatever their text.

    milli: in thousandths, rounded up: 500m is 500, 2 is 2000.
    whole: in units, rounded up: 64Mi is 67108864, 500m is 1.
    """

    __slots__ = ("amount", "milli", "text", "whole")

    def __init__(self, text: str | int | float) -> None:
        """Read a quantity; numbers are taken as YAML gives them.

        Raises:
            QuantityInvalid: says the accepted form.
        """
        if isinstance(text, bool) or not isinstance(text, str | int | float):
            raise QuantityInvalid(QUANTITY_RULE)
        self.text = repr(text) if isinstance(text, float) else str(text)
        self.amount = _amount_of(self.text)
        # Both rounded up. They are asked for far more often than a quantity is read: it is shared
        # by all objects that write it so.
        self.milli = _ceiling(self.amount * 1000)
        self.whole = _ceiling(self.amount)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.amount == other.amount

    def __lt__(self, other: "Quantity") -> bool:
        return self.amount < other.amount

    def __hash__(self) -> int:
        return hash(self.amount)

    def __repr__(self) -> str:
        return f"Quantity({self.text!r})"

    def __str__(self) -> str:
        return self.text


def _ceiling(amount: Decimal) -> int:
    return int(amount.to_integral_value(rounding=ROUND_CEILING))


def _amount_of(text: str) -> Decimal:
    form = _FORM.match(text)
    if not form:
        raise QuantityInvalid(QUANTITY_RULE)
    sign, digits, suffix = form.groups()
    if suffix[:1] in ("e", "E") and len(suffix) > 1 and suffix != "Ei":
        scale = Decimal(10) ** int(suffix[1:])
    elif suffix in _SUFFIXES:
        scale = _SUFFIXES[suffix]
    else:
        raise QuantityInvalid(QUANTITY_RULE)
    amount = Decimal(digits) * scale
    if amount > LIMIT:
        raise QuantityInvalid("is out of range: at most 9223372036854775807")
    return -amount if sign == "-" else amount
