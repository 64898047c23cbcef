"""Variables from Secrets: the values that an instance is given with its code. Pure.

A value is neither in a manifest nor in a log: it goes from the API server to the instance.
"""

from collections.abc import Mapping, Sequence

from cubernetes.api.core.data import configdata
from cubernetes.api.core.secret import Secret
from cubernetes.api.serverless.function import SecretVariable

BYTES_MAX = 64 * 1024


class Lacking(Exception):
    """A function cannot be loaded yet; says which Secret or key it lacks, and no value."""


def values_of(
    variables: Sequence[SecretVariable], known: Mapping[str, Secret | None]
) -> dict[str, str]:
    """Return the variables of an instance; known are Secrets by name, None where there is none.

    Raises: Lacking.
    """
    found = {one.env: _value(one, known.get(one.name)) for one in variables}
    size_bytes = sum(len(text.encode()) for text in found.values())
    if size_bytes > BYTES_MAX:
        raise Lacking(f"spec.secrets have {size_bytes} bytes, at most {BYTES_MAX}")
    return found


def _value(wanted: SecretVariable, secret: Secret | None) -> str:
    if secret is None:
        raise Lacking(f"there is no Secret {wanted.name} in the namespace")
    if wanted.key not in secret.data:
        raise Lacking(f"Secret {wanted.name} has no key {wanted.key}")
    try:
        text = (configdata.decoded(secret.data[wanted.key]) or b"").decode()
    except UnicodeDecodeError:
        told = f"Secret {wanted.name} is no UTF-8 at key {wanted.key}: it can be no variable"
        # The error would tell the value.
        raise Lacking(told) from None
    if "\0" in text:
        raise Lacking(f"Secret {wanted.name} has a zero byte at key {wanted.key}")
    return text
