"""Who shows a token of a service account: its account and the object it is bound to are there."""

from collections.abc import Iterable

import msgspec

from apiserver.auth.accounts import Claims, Incarnation, claims_refusal
from apiserver.backend import Backend
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.secret import Secret
from cubernetes.api.core.serviceaccount import ServiceAccount
from cubernetes.api.meta import Object

NOT_OURS = "the token is not one that this cluster signed"


async def claims_of(backend: Backend, token: str, audiences: Iterable[str]) -> Claims | str:
    """Return what a good token says, or why it is good for nothing.

    What memory does not show may have been made a moment ago: then the store is asked.
    """
    signed = backend.accounts.claims_in(token) if backend.accounts is not None else None
    if signed is None:
        return NOT_OURS
    try:
        claims = msgspec.json.decode(signed, type=Claims)
    except msgspec.MsgspecError:
        return NOT_OURS
    issuer, now = backend.settings.account_issuer, backend.env.clock.now()
    if why := claims_refusal(claims, issuer=issuer, audiences=audiences, now=now):
        return why
    if why := _broken_bond(backend, claims):
        await backend.caught_up()
        why = _broken_bond(backend, claims)
    return why or claims


def _broken_bond(backend: Backend, claims: Claims) -> str:
    """Return which object that a token depends on is gone, or another now; empty: none."""
    bonds = claims.bonds
    bound: tuple[tuple[type[Object], Incarnation | None], ...] = (
        (ServiceAccount, bonds.serviceaccount),
        (Pod, bonds.pod),
        (Secret, bonds.secret),
    )
    for kind, one in bound:
        if one is None:
            continue
        found = backend.find(kind, one.name, bonds.namespace)
        if found is None or found.metadata.uid != one.uid:
            return f"the {kind.resource.singular} of the token is gone"
    return ""
