"""Numbers as Prometheus writes them."""

import math


def number_text(value: float) -> str:
    """Return the shortest text that reads back as the same float: no exponent, +Inf, -Inf, NaN."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    if text.endswith(".0"):
        return text[:-2]
    return _plain(text) if "e" in text else text


def _plain(text: str) -> str:
    """Return a number with an exponent as digits alone."""
    digits, exponent_text = text.split("e")
    sign = "-" if digits.startswith("-") else ""
    whole, _, fraction = digits.lstrip("-").partition(".")
    exponent = int(exponent_text)
    if exponent < 0:
        return sign + "0." + "0" * (-exponent - 1) + whole + fraction
    return sign + whole + fraction.ljust(exponent, "0")
