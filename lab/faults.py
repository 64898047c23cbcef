"""Network faults of a lab, compiled to one nftables table of its switch.

The table is written whole, in one transaction, from the list of faults: what is in the list is
what is broken, however many times it is applied.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

TABLE = "bridge cuberoot-lab"
ROUTED = "ip cuberoot-lab"
# A node of another subnet is reached by the switch itself, its router.
HOOKS = ("forward", "input", "output")


class Cut(msgspec.Struct, frozen=True, tag="cut"):
    """Nothing from source reaches target; the other way works, unless that is cut as well."""

    source: str
    target: str


class Isolate(msgspec.Struct, frozen=True, tag="isolate"):
    """Nothing reaches node or leaves it, and its link stays up: nobody is told."""

    node: str


class Loss(msgspec.Struct, frozen=True, tag="loss"):
    """Each frame to or from node is lost with a chance of percent."""

    node: str
    percent: int


class Unplug(msgspec.Struct, frozen=True, tag="unplug"):
    """The cable of node is out: it sees no carrier. A link state, so no rule stands for it."""

    node: str


Fault = Cut | Isolate | Loss | Unplug


def rules_for(faults: Sequence[Fault]) -> Iterator[str]:
    """Return the rules of the chain, cuts before losses: a cut frame needs no dice."""
    for fault in faults:
        match fault:
            case Cut(source, target):
                yield f'iifname "{source}" oifname "{target}" counter drop'
            case Isolate(node):
                yield f'iifname "{node}" counter drop'
                yield f'oifname "{node}" counter drop'
            case Loss() | Unplug():
                pass
    for fault in faults:
        if isinstance(fault, Loss) and fault.percent > 0:
            # nft refuses dice that always win.
            dice = f"numgen random mod 100 < {fault.percent} " if fault.percent < 100 else ""
            yield f'iifname "{fault.node}" {dice}counter drop'
            yield f'oifname "{fault.node}" {dice}counter drop'


def routed_rules_for(faults: Sequence[Fault], addresses: Mapping[str, str]) -> Iterator[str]:
    """Return the rules for what the router carries: ports are of bridges, so by addresses."""
    for fault in faults:
        if isinstance(fault, Cut) and addresses:
            source, target = addresses[fault.source], addresses[fault.target]
            yield f"ip saddr {source} ip daddr {target} counter drop"


def ruleset_for(faults: Sequence[Fault], addresses: Mapping[str, str] | None = None) -> str:
    """Return the input of `nft -f` that makes the switch lose exactly what faults say.

    addresses: of the nodes, where the switch is also a router between them. The first two lines
    for each table make removal succeed whether or not it was there.
    """
    hooks = HOOKS if addresses else HOOKS[:1]
    lines = list(_table(TABLE, hooks, list(rules_for(faults))))
    if addresses:
        lines += _table(ROUTED, HOOKS[:1], list(routed_rules_for(faults, addresses)))
    return "\n".join(lines) + "\n"


def _table(name: str, hooks: Sequence[str], rules: Sequence[str]) -> Iterator[str]:
    yield from (f"table {name} {{}}", f"delete table {name}")
    if not rules:
        return
    yield f"table {name} {{"
    for hook in hooks:
        yield f"  chain {'faults' if hook == HOOKS[0] else f'faults_{hook}'} {{"
        yield f"    type filter hook {hook} priority 0; policy accept;"
        yield from (f"    {rule}" for rule in rules)
        yield "  }"
    yield "}"


def with_fault(faults: Sequence[Fault], added: Fault) -> tuple[Fault, ...]:
    """Return faults and added. A node has one rate of loss: a new one replaces the old."""
    kept = (fault for fault in faults if fault != added and not _replaces(added, fault))
    return (*kept, added)


def _replaces(new: Fault, old: Fault) -> bool:
    return isinstance(new, Loss) and isinstance(old, Loss) and new.node == old.node
