"""What of a node is not for pods: an administrator's file, in a KubeletConfiguration's words. Pure.

`/etc/cubernetes/kubelet.json` has these fields, none of them required:

    {"systemReserved": {"cpu": "200m", "memory": "512Mi", "ephemeral-storage": "2Gi"},
     "kubeReserved": {"cpu": "100m", "memory": "256Mi"},
     "enforceNodeAllocatable": ["pods"],
     "allowedUnsafeSysctls": ["kernel.msg*", "net.core.somaxconn"]}

What pods may use is what the machine has, less both reserves, less what `evictionHard` keeps free.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

import msgspec

from cubernetes.api.quantities import Quantity, QuantityInvalid
from kubelet.eviction.thresholds import Amount

PARTS = ("cpu", "memory", "ephemeral-storage")
MARGINS = {"memory": "memory.available", "ephemeral-storage": "nodefs.available"}
# Where no file says otherwise: what the node's own programs take.
OWN: Mapping[str, Quantity] = {"cpu": Quantity("100m"), "memory": Quantity("156Mi")}
# Of these every pod has its own: what is set in one is set in no other, and not on the node.
NAMESPACED = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.", "net.")
SYSCTLS_MAX = 256
_PATTERN = re.compile(
    r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*(\.?\*)?\Z"
)
SYSCTL_RULE = (
    "must be a sysctl of a pod's own namespaces (kernel.shm*, kernel.msg*, kernel.sem, "
    "fs.mqueue.*, net.*), or one with '*' at its end"
)


class ReservesInvalid(Exception):
    """The text names the field, and the accepted form."""


class Reserves(NamedTuple):
    """What the file says. reserved: the sum of both reserves; None: the file says nothing of them.

    is_enforced: the group of all pods gets no more than the rest. sysctls: names, or beginnings
    that end in `*`.
    """

    reserved: Mapping[str, Quantity] | None = None
    is_enforced: bool = False
    sysctls: tuple[str, ...] = ()


class _Words(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    system_reserved: dict[str, str] | None = None
    kube_reserved: dict[str, str] | None = None
    enforce_node_allocatable: tuple[Literal["pods"], ...] = ("pods",)
    allowed_unsafe_sysctls: tuple[str, ...] = ()


def reserves_of(text: bytes | None, capacity: Mapping[str, Quantity]) -> Reserves:
    """Read an administrator's file of a machine with this capacity; None: there is none.

    An empty file is not none: it may be about to be written.

    Raises: ReservesInvalid.
    """
    try:
        words = msgspec.json.decode(b"{}" if text is None else text, type=_Words)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReservesInvalid(str(error)) from error
    if len(words.allowed_unsafe_sysctls) > SYSCTLS_MAX:
        raise ReservesInvalid(f"allowedUnsafeSysctls: has more than {SYSCTLS_MAX} entries")
    for index, name in enumerate(words.allowed_unsafe_sysctls):
        if not _PATTERN.match(name) or not name.startswith(NAMESPACED):
            raise ReservesInvalid(f"allowedUnsafeSysctls[{index}]: {SYSCTL_RULE}")
    both = (("systemReserved", words.system_reserved), ("kubeReserved", words.kube_reserved))
    amounts = [dict(_amounts(field, given)) for field, given in both if given is not None]
    reserved = {name: _sum(name, amounts) for name in PARTS} if amounts else None
    for name, kept in (reserved or {}).items():
        if name in capacity and 0 < kept.amount >= capacity[name].amount:
            why = f"must be less together than the {capacity[name]} of this machine"
            raise ReservesInvalid(f"systemReserved.{name}, kubeReserved.{name}: {why}")
    is_enforced = reserved is not None and "pods" in words.enforce_node_allocatable
    return Reserves(reserved, is_enforced, words.allowed_unsafe_sysctls)


def _amounts(field: str, given: Mapping[str, str]) -> Iterator[tuple[str, Quantity]]:
    for name, text in given.items():
        if name not in PARTS:
            raise ReservesInvalid(f"{field}.{name[:63]}: must be one of {', '.join(PARTS)}")
        try:
            amount = Quantity(text)
        except QuantityInvalid as error:
            raise ReservesInvalid(f"{field}.{name}: {error}") from error
        if amount.amount < 0:
            raise ReservesInvalid(f"{field}.{name}: must not be negative")
        yield name, amount


def _sum(name: str, amounts: list[dict[str, Quantity]]) -> Quantity:
    given = [one[name] for one in amounts if name in one]
    if name == "cpu":
        return Quantity(f"{sum(one.milli for one in given)}m")
    return Quantity(str(sum(one.whole for one in given)))


def allocatable(
    capacity: Mapping[str, Quantity],
    reserved: Mapping[str, Quantity] | None,
    margins: Mapping[str, Amount],
) -> Mapping[str, Quantity]:
    """Return what pods may use of a capacity. margins: what is kept free, by eviction signals.

    Where nobody says what is reserved, a small machine keeps at least half for its pods.
    Devices are all for pods.
    """
    own = OWN if reserved is None else reserved
    usable = dict(capacity)
    for name in PARTS:
        if name not in capacity:
            continue
        margin, kept = margins.get(MARGINS.get(name, ""), Amount()), own.get(name, Quantity("0"))
        if name == "cpu":
            has, rest = capacity[name].milli, capacity[name].milli - kept.milli
        else:
            has = capacity[name].whole
            rest = has - kept.whole - margin.of(has)
        least = has // 2 if reserved is None else 0
        usable[name] = _written(name, max(rest, least))
    return usable


def _written(name: str, count: int) -> Quantity:
    """Return an amount as a Node states it."""
    match name:
        case "cpu":
            return Quantity(f"{count}m")
        case "memory":
            return Quantity(f"{count // 1024}Ki")
        case _:
            return Quantity(str(count))


def pods_limits(capacity: Mapping[str, Quantity], reserves: Reserves) -> Mapping[str, int] | None:
    """Return what the group of all pods may use: bytes of memory, and thousandths of a core.

    As in Kubernetes the margin of evictions is inside: they come before the kernel's limit does.
    None: there is no limit.
    """
    if not reserves.is_enforced:
        return None
    rest = allocatable(capacity, reserves.reserved, {})
    return {"memory": rest["memory"].whole, "cpu": rest["cpu"].milli}


def is_allowed(sysctl: str, allowed: tuple[str, ...]) -> bool:
    """Whether a name is one of the names, or begins as one that ends in `*`."""
    return any(
        sysctl.startswith(one[:-1]) if one.endswith("*") else sysctl == one for one in allowed
    )
