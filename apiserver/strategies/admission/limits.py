"""What LimitRanges make of new pods and claims: defaults are written, bounds are checked. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from cubernetes.api.coding.refusals import found, invalid
from cubernetes.api.core.limitrange import OF_CLAIMS, STORAGE, LimitRange, LimitRangeItem
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container, Resources
from cubernetes.api.core.podspec.qos import qos_of
from cubernetes.api.core.podspec.requests import limited, requested
from cubernetes.api.core.podspec.spec import every_container
from cubernetes.api.core.quota.usage import amount_of, quantity_of
from cubernetes.api.errors import Forbidden
from cubernetes.api.meta import Amounts, Object, replaced
from cubernetes.api.quantities import Quantity

# Where a pod tells what was written into it, in Kubernetes' words.
NOTE = "kubernetes.io/limit-ranger"


def within_limits(pod: Pod, ranges: Sequence[LimitRange]) -> Pod:
    """Return a new pod with the defaults of its namespace.

    Raises: Forbidden: it is beyond a bound; Invalid: with a default it contradicts itself.
    """
    if not ranges:
        return pod
    made = _with_defaults(pod, ranges)
    if made is not pod and (problems := found(made.problems())):
        raise invalid(Pod.resource.qualified_kind, pod.metadata.name, problems, made)
    _check(
        made,
        [
            sentence
            for one in ranges
            for item in one.spec.limits
            for sentence in _beyond(item, made)
        ],
    )
    return made


def check_claim(claim: PersistentVolumeClaim, ranges: Sequence[LimitRange]) -> None:
    """Refuse a new claim that is beyond a bound of its namespace.

    Raises: Forbidden.
    """
    items = [item for one in ranges for item in one.spec.limits if item.type == OF_CLAIMS]
    _check(claim, [sentence for item in items for sentence in _beyond_size(item, claim)])


def _beyond_size(item: LimitRangeItem, claim: PersistentVolumeClaim) -> Iterator[str]:
    size = claim.spec.resources.requests.get(STORAGE)
    least, most = item.min.get(STORAGE), item.max.get(STORAGE)
    if size is not None and least is not None and size < least:
        yield f"minimum storage usage per {OF_CLAIMS} is {least}, but request is {size}"
    if size is not None and most is not None and size > most:
        yield f"maximum storage usage per {OF_CLAIMS} is {most}, but request is {size}"


def _check(one: Object, wrong: Sequence[str]) -> None:
    if wrong:
        plural, name = one.resource.plural, one.metadata.name
        told = wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]"
        raise Forbidden(f'{plural} "{name}" is forbidden: {told}', kind=plural, name=name)


def _with_defaults(pod: Pod, ranges: Sequence[LimitRange]) -> Pod:
    items = [item for one in ranges for item in one.spec.limits if item.type == "Container"]
    notes: list[str] = []
    spec = replaced(
        pod.spec,
        containers=tuple(_filled(one, items, "container", notes) for one in pod.spec.containers),
        init_containers=tuple(
            _filled(one, items, "init container", notes) for one in pod.spec.init_containers
        ),
    )
    if not notes:
        return pod
    note = f"LimitRanger plugin set: {'; '.join(notes)}"
    meta = replaced(pod.metadata, annotations={**pod.metadata.annotations, NOTE: note})
    status = replaced(pod.status, qos_class=qos_of(spec))
    return replaced(pod, metadata=meta, spec=spec, status=status)


def _filled(
    one: Container, items: Sequence[LimitRangeItem], what: str, notes: list[str]
) -> Container:
    """Return a container with what it leaves open; a stated limit is its request too."""
    limits, requests = dict(one.resources.limits), dict(one.resources.requests)
    for item in items:
        for name, amount in item.default_request.items():
            if name not in one.resources.limits:
                requests.setdefault(name, amount)
        for name, amount in item.default.items():
            limits.setdefault(name, amount)
    for part, before, after in (
        ("request", one.resources.requests, requests),
        ("limit", one.resources.limits, limits),
    ):
        if added := sorted(after.keys() - before.keys()):
            notes.append(f"{', '.join(added)} {part} for {what} {one.name}")
    if (limits, requests) == (one.resources.limits, one.resources.requests):
        return one
    return replaced(one, resources=Resources(requests=requests, limits=limits))


def _beyond(item: LimitRangeItem, pod: Pod) -> Iterator[str]:
    if item.type == OF_CLAIMS:
        return
    if item.type == "Pod":
        requests = _amounts(requested(pod.spec))
        yield from _beyond_bounds(item, requests, _amounts(limited(pod.spec)))
        return
    for one in every_container(pod.spec):
        limits = one.resources.limits
        yield from _beyond_bounds(item, {**limits, **one.resources.requests}, limits)


def _amounts(counts: Mapping[str, int]) -> Amounts:
    return {name: quantity_of(name, amount_of(name, count)) for name, count in counts.items()}


def _beyond_bounds(item: LimitRangeItem, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, least in sorted(item.min.items()):
        yield from _beyond_one("minimum", name, item.type, least, requests, limits)
    for name, most in sorted(item.max.items()):
        yield from _beyond_one("maximum", name, item.type, most, requests, limits)
    for name, ratio in sorted(item.max_limit_request_ratio.items()):
        yield from _beyond_ratio(name, item.type, ratio, requests.get(name), limits.get(name))


def _beyond_one(
    which: Literal["minimum", "maximum"],
    name: str,
    kind: str,
    bound: Quantity,
    requests: Amounts,
    limits: Amounts,
) -> Iterator[str]:
    head = f"{which} {name} usage per {kind} is {bound}"
    request, limit = requests.get(name), limits.get(name)
    if which == "minimum":
        if request is None:
            yield f"{head}.  No request is specified"
        elif request < bound:
            yield f"{head}, but request is {request}"
        if limit is not None and limit < bound:
            yield f"{head}, but limit is {limit}"
        return
    if limit is None:
        yield f"{head}.  No limit is specified"
    elif limit > bound:
        yield f"{head}, but limit is {limit}"
    if request is not None and request > bound:
        yield f"{head}, but request is {request}"


def _beyond_ratio(
    name: str, kind: str, ratio: Quantity, request: Quantity | None, limit: Quantity | None
) -> Iterator[str]:
    head = f"{name} max limit to request ratio per {kind} is {ratio}"
    if request is None or not request.amount:
        yield f"{head}, but no request is specified or request is 0"
    elif limit is None or not limit.amount:
        yield f"{head}, but no limit is specified or limit is 0"
    elif limit.amount / request.amount > ratio.amount:
        yield f"{head}, but provided ratio is {limit.amount / request.amount:.6f}"
