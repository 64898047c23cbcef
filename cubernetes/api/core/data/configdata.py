"""What ConfigMap and Secret share: which keys may stand in them, and how much."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping

from cubernetes.api.errors import Problem
from cubernetes.api.names import SUBDOMAIN_MAX

# Kubernetes' MaxSecretSize: of all values together.
DATA_BYTES_MAX = 1024 * 1024
_KEY = re.compile(r"[-._a-zA-Z0-9]+\Z")
KEY_RULE = (
    f"must be at most {SUBDOMAIN_MAX} letters, digits, '-', '_' or '.', "
    "neither '.' nor '..', and not begin with '..'"
)
BASE64_RULE = "must be base64 (RFC 4648), with its padding"


def is_key(key: str) -> bool:
    """Return whether a key could be the name of a file in a folder."""
    fits = len(key) <= SUBDOMAIN_MAX and _KEY.match(key) is not None
    return fits and key != "." and not key.startswith("..")


def decoded(text: str) -> bytes | None:
    """Return what base64 stands for; None where it is not base64. Line ends count for nothing."""
    try:
        return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return None


def encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def canonical(values: Mapping[str, str]) -> dict[str, str]:
    """Return values in base64 as it is written here: without line ends; what is none stays."""
    read = {key: decoded(text) for key, text in values.items()}
    return {key: values[key] if one is None else encoded(one) for key, one in read.items()}


def decoded_bytes(values: Mapping[str, str]) -> int:
    """Return how many bytes the values stand for."""
    return sum(len(decoded(text) or b"") for text in values.values())


def key_problems(values: Mapping[str, str], field: str) -> Iterator[Problem]:
    for key in values:
        if not is_key(key):
            yield Problem(f"{field}[{key[:100]}]", KEY_RULE)


def base64_problems(values: Mapping[str, str], field: str) -> Iterator[Problem]:
    for key, text in values.items():
        if decoded(text) is None:
            yield Problem(f"{field}[{key[:100]}]", BASE64_RULE)


def size_problems(size_bytes: int, field: str) -> Iterator[Problem]:
    if size_bytes > DATA_BYTES_MAX:
        message = f"Too long: may not be more than {DATA_BYTES_MAX} bytes, has {size_bytes}"
        yield Problem(field, message, "FieldValueTooLong")


def frozen_problems(
    was_frozen: bool | None, is_frozen: bool | None, parts: Mapping[str, tuple[object, object]]
) -> Iterator[Problem]:
    """Yield what changed of an object that was made immutable; parts: before, after by field."""
    if not was_frozen:
        return
    message = "field is immutable when `immutable` is set"
    if not is_frozen:
        yield Problem("immutable", message, "FieldValueForbidden")
    for field, (old, new) in parts.items():
        if old != new:
            yield Problem(field, message, "FieldValueForbidden")
