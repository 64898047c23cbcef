"""Network faults of a lab, compiled to one nftables table of its switch.

The table is written whole, in one transaction, from the list of faults: what is in the list is
what is broken, however many times it is applied.
"""

from collections.abc import Iterator, Sequence

import msgspec

TABLE = "bridge cuberoot-lab"


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


def ruleset_for(faults: Sequence[Fault]) -> str:
    """Return the input of `nft -f` that makes the switch lose exactly what faults say.

    The first two lines make removal succeed whether or not the table was there.
    """
    lines = [f"table {TABLE} {{}}", f"delete table {TABLE}"]
    if any(rules_for(faults)):
        lines += [
            f"table {TABLE} {{",
            "  chain faults {",
            "    type filter hook forward priority 0; policy accept;",
            *(f"    {rule}" for rule in rules_for(faults)),
            "  }",
            "}",
        ]
    return "\n".join(lines) + "\n"


def with_fault(faults: Sequence[Fault], added: Fault) -> tuple[Fault, ...]:
    """Return faults and added. A node has one rate of loss: a new one replaces the old."""
    kept = (fault for fault in faults if fault != added and not _replaces(added, fault))
    return (*kept, added)


def _replaces(new: Fault, old: Fault) -> bool:
    return isinstance(new, Loss) and isinstance(old, Loss) and new.node == old.node
