"""Who takes turns with whom: classes of users, and the share of seats and bytes that each has."""

from enum import Enum
from functools import partial

from apiserver.auth.authorize import CONTROLLERS, SCHEDULER
from apiserver.auth.members import name_in
from apiserver.settings import Limits
from cubernetes.api.errors import TooManyRequests
from cubernetes.host.web.gate import Gate
from cubernetes.host.web.messages import ANONYMOUS, Identity, Request
from cubernetes.host.web.shares import Share

RETRY_AFTER_S = 1


class Class(Enum):
    """The class of a client, for the order of turns; the first are served first."""

    CONTROL = "the scheduler and the controllers"
    NODES = "kubelets, proxies, gateways and resolvers"
    USERS = "everybody else who is known"
    STRANGERS = "who shows no certificate"


# The part of the whole that a class has, and the part of it that one flow may hold.
PARTS: dict[Class, tuple[float, float]] = {
    Class.CONTROL: (0.25, 0.8),
    Class.NODES: (0.35, 0.15),
    Class.USERS: (0.3, 0.34),
    Class.STRANGERS: (0.1, 0.15),
}


def class_of(identity: Identity) -> Class:
    if identity.user in (SCHEDULER, CONTROLLERS):
        return Class.CONTROL
    if name_in(identity):
        return Class.NODES
    return Class.STRANGERS if identity == ANONYMOUS else Class.USERS


def flow_of(request: Request) -> tuple[Class, str]:
    """Return whose turn a request takes. Strangers are told apart by their addresses alone."""
    kind = class_of(request.identity)
    return kind, request.address if kind is Class.STRANGERS else request.identity.user


def shares_of(units: int, flow_units_min: int, waiting_count: int) -> dict[Class, Share]:
    """Return every class's share of so many units; each flow may have flow_units_min at least."""
    shares = {}
    for kind, (part, flow_part) in PARTS.items():
        of_class = max(int(units * part), flow_units_min)
        of_flow = max(int(of_class * flow_part), flow_units_min)
        shares[kind] = Share(of_class, of_flow, waiting_count)
    return shares


def _too_many(what: str, user: str) -> TooManyRequests:
    message = f"{user or 'you'}: too many {what} at once, wait and try again"
    return TooManyRequests(message, retry_after_s=RETRY_AFTER_S)


def seats(limits: Limits) -> Gate[Class]:
    """Return the gate of requests under way."""
    shares = shares_of(limits.in_flight_max, 1, limits.waiting_per_user_max)
    return Gate(shares, limits.turn_deadline_s, partial(_too_many, "requests"))


def bodies(limits: Limits) -> Gate[Class]:
    """Return the gate of bodies in memory, by their bytes: each may be as long as a body may be."""
    shares = shares_of(limits.bodies_bytes_max, limits.body_bytes_max, limits.waiting_per_user_max)
    return Gate(shares, limits.turn_deadline_s, partial(_too_many, "bytes of bodies"))
