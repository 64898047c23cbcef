"""Chains: a function returns which other function is to answer in its place. Pure.

The call stays one call with one id and one end. A function that has handed it on has ended: it
holds no instance while the next one runs, so that no chain waits for itself.
"""

from collections.abc import Sequence

import msgspec

from cubernetes.api import names
from cubernetes.api.serverless.function import Function
from serverless.envelope import Onward

# The outcome of a function that hands its call on, and the source that the next one is told.
ONWARD, INVOKE = "onward", "invoke"
# How many functions a chain may have: one that invokes itself for ever ends by it.
FUNCTIONS_MAX = 16
# Of what a function hands on, beside the body and with it.
HEAD_BYTES_MAX, BODY_BYTES_MAX = 64 * 1024, 1024 * 1024
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def why_not_onward(function: Function, onward: Onward, body: bytes, chain: Sequence[str]) -> str:
    """Return why a function's call does not go on as it says; empty: it does.

    chain: the functions that had the call before this one, the first first.
    """
    own, name = function.metadata.name, onward.function
    head_bytes = len(msgspec.json.encode(onward))
    if not names.is_label(name):
        why = "it needs the name of a function of the namespace"
    elif not function.spec.may_invoke(name):
        why = f"spec.calls of function {own} does not allow it"
    elif len(chain) + 1 >= FUNCTIONS_MAX:
        why = f"a chain may have {FUNCTIONS_MAX} functions: {' > '.join((*chain, own))}"
    elif onward.method not in METHODS:
        why = f"its method must be one of {', '.join(sorted(METHODS))}"
    elif not onward.path.startswith("/"):
        why = "its path must begin with '/'"
    elif head_bytes > HEAD_BYTES_MAX:
        why = f"its params and headers have {head_bytes} bytes, at most {HEAD_BYTES_MAX}"
    elif len(body) > BODY_BYTES_MAX:
        why = f"its body has {len(body)} bytes, at most {BODY_BYTES_MAX}"
    else:
        return ""
    return f"Invoke of {name[:80]!r}: {why}"


def call_at(call: str, chain: Sequence[str]) -> str:
    """Return the id by which a function of a chain knows its call: `ID`, then `ID.1`, `ID.2`."""
    return f"{call}.{len(chain)}" if chain else call


def origin_at(call: str, chain: Sequence[str]) -> dict[str, str]:
    """Return what a function of a chain is told of where its call is from."""
    return {"function": chain[-1], "call": call_at(call, chain[:-1])}


def is_part_of(part: str, call: str) -> bool:
    """Whether an id is a call's, or that of a function of its chain."""
    return part == call or part.startswith(f"{call}.")
