"""What an object costs the quotas of its namespace, taken in the transaction that writes it. Pure.

A quota's `status.used` is written together with the object, and compared: of two writers at once
the second decides again on what the first has left. So no quota is exceeded, and none is charged
for an object that was not made. What is given back is counted by the controller.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from apiserver.state.items import Item, Seen, encoded
from apiserver.state.keys import key_of
from apiserver.storage.store import Op, Put
from apiserver.strategies.strategy import Cluster
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.quota.usage import Usage, counts, quantity_of, unstated, usage_of
from cubernetes.api.core.resourcequota import ResourceQuota
from cubernetes.api.errors import Forbidden
from cubernetes.api.meta import Object, replaced


def keys_of_quotas(cluster: Cluster, new: Object, old: Object | None = None) -> tuple[str, ...]:
    """Return the keys of the quotas that count what a write adds, in their order."""
    namespace = new.metadata.namespace
    found = list(cluster.within(ResourceQuota, namespace)) if namespace else []
    # Most namespaces have no quota: what an object uses is not summed for them.
    if not found or not (added := _added(old, new)):
        return ()
    named = [
        key_of(ResourceQuota, namespace, one.metadata.name)
        for one in found
        if isinstance(one, ResourceQuota) and _is_about(one, new, added)
    ]
    return tuple(sorted(named))


def charged(keys: tuple[str, ...], seen: Seen, new: Object, old: Object | None = None) -> list[Op]:
    """Return what is written into the quotas at these keys.

    Raises: Forbidden: there is not enough left, or the object leaves open what it needs.
    """
    if not keys:
        return []
    added = _added(old, new)
    ops: list[Op] = []
    for key in keys:
        found = seen[key]
        quota = found.object if isinstance(found, Item) else None
        # Memory may be older than the store: it may be gone, or count something else.
        if isinstance(quota, ResourceQuota) and _is_about(quota, new, added):
            ops.append(Put(key, encoded(_after(quota, new, added, is_new=old is None))))
    return ops


def _added(old: Object | None, new: Object) -> Usage:
    before = usage_of(old) if old is not None else {}
    more = {name: amount - before.get(name, Decimal(0)) for name, amount in usage_of(new).items()}
    return {name: amount for name, amount in more.items() if amount > 0}


def _is_about(quota: ResourceQuota, new: Object, added: Usage) -> bool:
    hard = quota.spec.hard
    is_named = not added.keys().isdisjoint(hard)
    is_open = isinstance(new, Pod) and bool(unstated(hard, new))
    return (is_named or is_open) and counts(quota.spec, new)


def _after(quota: ResourceQuota, new: Object, added: Usage, *, is_new: bool) -> ResourceQuota:
    """Return a quota from which an object is taken. Raises: Forbidden."""
    name, status = quota.metadata.name, quota.status
    if is_new and isinstance(new, Pod) and (left := unstated(quota.spec.hard, new)):
        told = "; ".join(f"{what} for: {','.join(whose)}" for what, whose in left.items())
        raise _refused(new, f"failed quota: {name}: must specify {told}")
    hard = quota.spec.hard
    wanted = {one: amount for one, amount in added.items() if one in hard}
    # What is counted holds whatever the bound is: a bound that was changed holds at once.
    if unknown := sorted(wanted.keys() - (status.hard.keys() & status.used.keys())):
        told = f"status unknown for quota: {name}, resources: {','.join(unknown)}"
        raise _refused(new, told)
    used = {one: status.used[one].amount for one in wanted}
    beyond = sorted(one for one, amount in wanted.items() if used[one] + amount > hard[one].amount)
    if beyond:
        rows = {
            "requested": {one: wanted[one] for one in beyond},
            "used": {one: used[one] for one in beyond},
            "limited": {one: hard[one].amount for one in beyond},
        }
        told = ", ".join(f"{row}: {','.join(_texts(amounts))}" for row, amounts in rows.items())
        raise _refused(new, f"exceeded quota: {name}, {told}")
    after = {one: quantity_of(one, used[one] + amount) for one, amount in wanted.items()}
    return replaced(quota, status=replaced(status, used={**status.used, **after}))


def _texts(amounts: Mapping[str, Decimal]) -> Iterator[str]:
    return (f"{name}={quantity_of(name, amount)}" for name, amount in amounts.items())


def _refused(one: Object, why: str) -> Forbidden:
    plural, name = one.resource.plural, one.metadata.name
    group = f".{one.resource.group}" if one.resource.group else ""
    told = f'{plural}{group} "{name}" is forbidden: {why}'
    return Forbidden(told, kind=plural, group=one.resource.group, name=name)
