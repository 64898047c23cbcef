"""The table of the proxy, without a service: its sets, hooks and the rules that never change. Pure.

    prerouting, output (nat, -110)  -> services: the map `fronts` by address, protocol and port,
                                       then `node-fronts` for addresses of this node
                                       -> a way (ways.py)
    postrouting        (nat, 90)    masquerade what is marked, a pod that reaches itself by a
                                    service, and pods' traffic that leaves the cluster
    input, forward, output (filter) -> refusals: what still has a service's address, or is marked

The nat chains come just before those of iptables, Docker's among them; the first that answers a
connection decides. What lets pods pass a strict FORWARD chain cannot stand in a table of our own,
because an ACCEPT ends only its own chain: it stays in iptables (`forwarding`).
"""

import struct

from cubernetes.host.packetfilter import expressions as say
from cubernetes.host.packetfilter.expressions import (
    ACCEPT,
    CT_STATUS,
    EQUAL,
    JUMP,
    LOCAL_ADDRESS,
    META_MARK,
    META_PROTOCOL,
    NOT_EQUAL,
    R0,
    REFUSE_RESET,
    REFUSE_UNREACHABLE,
)
from cubernetes.host.packetfilter.nftables import (
    ADDRESS,
    FORWARD,
    INPUT,
    MARK,
    OUTPUT,
    PORT,
    POST_ROUTING,
    PRE_ROUTING,
    PROTOCOL,
    VERDICT,
    ChainOf,
    Hook,
    SetOf,
    Statement,
)
from cubernetes.host.packetfilter.ruleset import Chain, RuleSet
from proxy.services.compile import FORWARD as FORWARD_CHAIN
from proxy.services.compile import JUMPS, fixed_chains
from proxy.services.nftables import ways
from proxy.services.nftables.ways import MASQUERADE_BIT, REJECT_BIT, of_network
from proxy.services.served import Facts

TABLE = "cube-proxy"
SERVICES, REFUSALS = "services", "refusals"
NAT_PRIORITY, SOURCE_NAT_PRIORITY, FILTER_PRIORITY = -110, 90, -10
# Clients that are remembered at once, of all services with sessionAffinity together.
CLIENTS_MAX = 1 << 18
_TRANSLATED = 0x20  # IPS_DST_NAT
_TCP = b"\x06"

_NODE_KEY = (PROTOCOL, PORT)
_PORT_KEY, _ENDPOINT = (ADDRESS, *_NODE_KEY), (ADDRESS, PORT)
SETS = (
    SetOf(ways.FRONTS, _PORT_KEY, (VERDICT,)),
    SetOf(ways.NODE_FRONTS, _NODE_KEY, (VERDICT,)),
    SetOf(ways.SLOTS, (*_PORT_KEY, MARK), _ENDPOINT),
    SetOf(ways.NODE_SLOTS, (*_NODE_KEY, MARK), _ENDPOINT),
    SetOf(ways.LOOPS, (ADDRESS, ADDRESS)),
    SetOf(ways.CLIENTS, (ADDRESS, MARK, MARK), size_max=CLIENTS_MAX),
)


def chains_for(facts: Facts) -> tuple[ChainOf, ...]:
    """Return the chains that are always there, each after those that it leads into."""
    refuse = (say.verdict(JUMP, REFUSALS),)
    serve = (say.verdict(JUMP, SERVICES),)
    return (
        ways.refused(),
        ChainOf(SERVICES, _services()),
        ChainOf(REFUSALS, _refusals(facts)),
        ChainOf("prerouting", (serve,), Hook("nat", PRE_ROUTING, NAT_PRIORITY)),
        ChainOf("output", (serve,), Hook("nat", OUTPUT, NAT_PRIORITY)),
        ChainOf("postrouting", _outgoing(facts), Hook("nat", POST_ROUTING, SOURCE_NAT_PRIORITY)),
        ChainOf("filter-input", (refuse,), Hook("filter", INPUT, FILTER_PRIORITY)),
        ChainOf("filter-forward", (refuse,), Hook("filter", FORWARD, FILTER_PRIORITY)),
        ChainOf("filter-output", (refuse,), Hook("filter", OUTPUT, FILTER_PRIORITY)),
    )


def forwarding(facts: Facts) -> RuleSet:
    """Return what stays in iptables beside the table."""
    place = Chain("filter", "FORWARD")
    own = Chain("filter", FORWARD_CHAIN)
    jumps = tuple(jump for jump in JUMPS[place] if FORWARD_CHAIN in jump)
    return RuleSet({own: dict(fixed_chains(facts))[own]}, {place: jumps})


def _services() -> tuple[Statement, ...]:
    local = struct.pack("=I", LOCAL_ADDRESS)
    protocol, port = say.meta(META_PROTOCOL, R0 + 1), say.destination_port(R0 + 2)
    return (
        (say.destination(R0), protocol, port, say.lookup_verdict(ways.FRONTS, R0)),
        (
            # 127.0.0.1 has no node ports (CVE-2020-8558).
            say.destination(R0),
            say.bits(R0, b"\xff\0\0\0", bytes(4)),
            say.compare(R0, NOT_EQUAL, b"\x7f\0\0\0"),
            say.fib_kind(R0, of_source=False),
            say.compare(R0, EQUAL, local),
            protocol,
            port,
            say.lookup_verdict(ways.NODE_FRONTS, R0 + 1),
        ),
    )


def _is_marked(bit: int, relation: int = NOT_EQUAL) -> Statement:
    mask = struct.pack("=I", bit)
    return (
        say.meta(META_MARK, R0),
        say.bits(R0, mask, bytes(4)),
        say.compare(R0, relation, bytes(4)),
    )


def _outgoing(facts: Facts) -> tuple[Statement, ...]:
    cleared = struct.pack("=I", ~MASQUERADE_BIT & 0xFFFFFFFF)
    status = struct.pack("=I", _TRANSLATED)
    return (
        # Outside the cluster nobody knows the way to a pod: it goes out as its node.
        (
            say.source(R0),
            *of_network(R0, facts.pod_range),
            say.destination(R0),
            *of_network(R0, facts.pod_range, NOT_EQUAL),
            say.masquerade(),
        ),
        # An endpoint that reaches itself would else answer itself without us.
        (
            say.connection(CT_STATUS, R0),
            say.bits(R0, status, bytes(4)),
            say.compare(R0, NOT_EQUAL, bytes(4)),
            say.source(R0),
            say.destination(R0 + 1),
            say.lookup(ways.LOOPS, R0),
            say.masquerade(),
        ),
        (*_is_marked(MASQUERADE_BIT, EQUAL), say.verdict(ACCEPT)),
        # The bit has done its work: a tunnel that wraps this packet must not see it again.
        (
            say.meta(META_MARK, R0),
            say.bits(R0, cleared, bytes(4)),
            say.set_meta(META_MARK, R0),
            say.masquerade(),
        ),
    )


def _refusals(facts: Facts) -> tuple[Statement, ...]:
    is_tcp = (say.meta(META_PROTOCOL, R0 + 1), say.compare(R0 + 1, EQUAL, _TCP))
    refused = _is_marked(REJECT_BIT)
    served = (say.destination(R0), *of_network(R0, facts.service_range))
    return tuple(
        rule
        for matched in (refused, served)
        for rule in (
            (*matched, *is_tcp, say.refuse(REFUSE_RESET)),
            (*matched, say.refuse(REFUSE_UNREACHABLE)),
        )
    )
