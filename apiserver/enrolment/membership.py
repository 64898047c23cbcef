"""Whether an identity that names a node is a member's: what its certificate is good for now."""

from apiserver.auth.authorize import MASTERS
from apiserver.auth.members import Member, member_in, name_in, refusal_of
from apiserver.backend import Backend
from apiserver.strategies.node import member_key
from cubernetes.api.errors import Forbidden
from cubernetes.host.web.messages import Identity


def member_of(backend: Backend, name: str) -> Member | None:
    """Return the member of a name, as memory has it."""
    return member_in(backend.mirror.plain.get(member_key(name)))


def is_unwelcome(backend: Backend, identity: Identity) -> bool:
    """Whether it is the identity of a node that is none any more."""
    if MASTERS in identity.groups or not (name := name_in(identity)):
        return False
    return bool(refusal_of(identity, member_of(backend, name)))


async def check_member(backend: Backend, identity: Identity) -> None:
    """Refuse the certificate of a node that is none any more, or that its name does not belong to.

    Raises: Forbidden.
    """
    if not is_unwelcome(backend, identity):
        return
    # The certificate may have been signed a moment ago: memory must be as new as the store.
    await backend.caught_up()
    name = name_in(identity)
    if why := refusal_of(identity, member_of(backend, name)):
        raise Forbidden(why, kind="nodes", name=name)
