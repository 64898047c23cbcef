"""LimitRange: what each pod, container and claim of a namespace may ask for, and is given."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import msgspec

from cubernetes.api.core.parts.resources import amounts_problems, is_extended
from cubernetes.api.core.podspec.requests import OF_CONTAINERS
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Amounts, Column, Model, Object, replaced, shown
from cubernetes.api.resource import Resource

ITEMS_MAX = 16
OF_CLAIMS, STORAGE = "PersistentVolumeClaim", "storage"
NAME_RULE = f"must be one of {', '.join(OF_CONTAINERS)}, or a name such as example.com/gpu"


class LimitRangeItem(Model):
    """Bounds for one type of thing.

    type: Container, Pod for all containers of a pod together, or PersistentVolumeClaim, for the
        `storage` of one claim.
    max: no more than this.
    min: no less than this.
    default: the limit of a container that states none; left out, `max`.
    default_request: the request of a container that states neither; left out, `default` or `min`.
    max_limit_request_ratio: how often as much as the request the limit may be.
    """

    type: Literal["Container", "Pod", "PersistentVolumeClaim"]
    max: Amounts = msgspec.field(default_factory=dict)
    min: Amounts = msgspec.field(default_factory=dict)
    default: Amounts = msgspec.field(default_factory=dict)
    default_request: Amounts = msgspec.field(default_factory=dict)
    max_limit_request_ratio: Amounts = msgspec.field(default_factory=dict)


class LimitRangeSpec(Model):
    """What holds for pods and containers.

    limits: bounds, each type once.
    """

    limits: Annotated[tuple[LimitRangeItem, ...], msgspec.Meta(max_length=ITEMS_MAX)]


class LimitRange(Object):
    resource = Resource("", "v1", "LimitRange", "limitranges", ("limits",))
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column(
            "Created At",
            lambda one, _: (
                one.metadata.creation_timestamp.strftime("%Y-%m-%dT%H:%M:%SZ")
                if one.metadata.creation_timestamp
                else ""
            ),
        ),
    )

    api_version: str = shown("v1")
    kind: str = shown("LimitRange")
    spec: LimitRangeSpec

    def defaulted(self) -> "LimitRange":
        limits = tuple(_filled(one) for one in self.spec.limits)
        return replaced(self, spec=replaced(self.spec, limits=limits))

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        seen: set[str] = set()
        for index, one in enumerate(self.spec.limits):
            where = f"spec.limits[{index}]"
            if one.type in seen:
                yield Problem(f"{where}.type", f"{one.type} stands twice", "FieldValueDuplicate")
            seen.add(one.type)
            yield from _item_problems(one, where)


def _filled(one: LimitRangeItem) -> LimitRangeItem:
    """Fill in what Kubernetes fills in for containers."""
    if one.type != "Container":
        return one
    default = {**one.max, **one.default}
    return replaced(
        one, default=default, default_request={**one.min, **default, **one.default_request}
    )


def _item_problems(one: LimitRangeItem, field: str) -> Iterator[Problem]:
    parts = {
        "max": one.max,
        "min": one.min,
        "default": one.default,
        "defaultRequest": one.default_request,
        "maxLimitRequestRatio": one.max_limit_request_ratio,
    }
    if one.type == OF_CLAIMS:
        yield from _claim_problems(one, parts, field)
    name_problem = _claim_name_problem if one.type == OF_CLAIMS else _name_problem
    for name, amounts in parts.items():
        yield from amounts_problems(amounts, f"{field}.{name}", name_problem)
        if one.type == "Pod" and name.startswith("default") and amounts:
            message = "may not be specified when `type` is 'Pod'"
            yield Problem(f"{field}.{name}", message, "FieldValueForbidden")
    yield from _order_problems(parts, field)
    yield from _ratio_problems(one, field)
    for name, amount in sorted(one.default.items()):
        request = one.default_request.get(name, amount)
        if is_extended(name) and request < amount:
            message = f"default value {amount} must equal to defaultRequest value {request}"
            yield Problem(f"{field}.default[{name[:63]}]", message)


def _ratio_problems(one: LimitRangeItem, field: str) -> Iterator[Problem]:
    """Yield which ratios are none, or are never reached between the least and the most."""
    for name, ratio in sorted(one.max_limit_request_ratio.items()):
        where = f"{field}.maxLimitRequestRatio[{name[:63]}]"
        if ratio.amount < 1:
            yield Problem(where, f"ratio {ratio} is less than 1")
        low, high = one.min.get(name), one.max.get(name)
        if low and high and low.amount > 0 and ratio.amount > high.amount / low.amount:
            share = high.amount / low.amount
            yield Problem(where, f"ratio {ratio} is greater than max/min = {share:f}")


def _order_problems(parts: Mapping[str, Amounts], field: str) -> Iterator[Problem]:
    """Yield which bounds are above others that they must not be above."""
    for lower, upper in (
        ("min", "max"), ("min", "defaultRequest"), ("min", "default"),
        ("defaultRequest", "default"), ("defaultRequest", "max"), ("default", "max"),
    ):  # fmt: skip
        for name, amount in sorted(parts[lower].items()):
            limit = parts[upper].get(name)
            if limit is not None and amount > limit:
                message = f"{lower} value {amount} is greater than {upper} value {limit}"
                yield Problem(f"{field}.{lower}[{name[:63]}]", message)


def _claim_problems(
    one: LimitRangeItem, parts: Mapping[str, Amounts], field: str
) -> Iterator[Problem]:
    """Yield what is wrong with bounds for claims, which have a size and nothing else."""
    if STORAGE not in one.min and STORAGE not in one.max:
        message = "either minimum or maximum storage value is required, but neither was provided"
        yield Problem(field, message, "FieldValueRequired")
    for name, amounts in parts.items():
        if amounts and name not in ("min", "max"):
            message = f"may not be specified when `type` is '{OF_CLAIMS}'"
            yield Problem(f"{field}.{name}", message, "FieldValueForbidden")


def _claim_name_problem(name: str) -> str:
    return "" if name == STORAGE else f"must be {STORAGE}"


def _name_problem(name: str) -> str:
    return "" if name in OF_CONTAINERS or is_extended(name) else NAME_RULE
