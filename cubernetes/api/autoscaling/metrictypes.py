"""What a HorizontalPodAutoscaler scales on, and what that is now: five types of metrics."""

from collections.abc import Iterator
from decimal import Decimal

from cubernetes.api import names
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Model
from cubernetes.api.metrics.rules import METRIC_NAME_RULE, is_metric_name
from cubernetes.api.quantities import Quantity
from cubernetes.api.selectors import LabelSelector

NAME_RULE = "must be cpu or memory: other resources are not measured"
# The field that says more, by the type.
FIELDS = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}
TYPE_RULE = "must be one of " + ", ".join(FIELDS)
# How each type may say what is wanted.
TARGETS = {
    "Resource": ("Utilization", "AverageValue"),
    "ContainerResource": ("Utilization", "AverageValue"),
    "Pods": ("AverageValue",),
    "Object": ("Value", "AverageValue"),
    "External": ("Value", "AverageValue"),
}


class CrossVersionObjectReference(Model):
    """Which object is meant, in the namespace of the autoscaler.

    kind: its kind; one that is scaled must have a `scale`.
    name: its name.
    api_version: the group and version of the kind.
    """

    kind: str
    name: str
    api_version: str = ""


class MetricTarget(Model):
    """What a metric should be.

    type: Utilization, AverageValue or Value.
    average_utilization: in percent of what the pods request.
    average_value: as an amount for each pod.
    value: as an amount for all of them together.
    """

    type: str
    average_utilization: int | None = None
    average_value: Quantity | None = None
    value: Quantity | None = None


class MetricIdentifier(Model):
    """Which metric.

    name: its name, as a rule of `kube-system/metric-rules` or a scraped series has it.
    selector: labels that its series must have.
    """

    name: str
    selector: LabelSelector | None = None


class ResourceMetricSource(Model):
    """A resource of whole pods.

    name: `cpu` or `memory`.
    target: what it should be.
    """

    name: str
    target: MetricTarget


class ContainerResourceMetricSource(Model):
    """A resource of one container of each pod.

    name: `cpu` or `memory`.
    container: which container.
    target: what it should be.
    """

    name: str
    container: str
    target: MetricTarget


class PodsMetricSource(Model):
    """What each of the pods tells of itself.

    metric: which metric.
    target: what it should be on average of all pods.
    """

    metric: MetricIdentifier
    target: MetricTarget


class ObjectMetricSource(Model):
    """What is told of one object, such as the requests of a service.

    described_object: the object.
    target: what it should be: all of it, or divided by the number of pods.
    metric: which metric.
    """

    described_object: CrossVersionObjectReference
    target: MetricTarget
    metric: MetricIdentifier


class ExternalMetricSource(Model):
    """What is told of something outside of the cluster, such as the length of a queue.

    metric: which metric.
    target: what it should be: all of it, or divided by the number of pods.
    """

    metric: MetricIdentifier
    target: MetricTarget


type MetricSource = (
    ResourceMetricSource
    | ContainerResourceMetricSource
    | PodsMetricSource
    | ObjectMetricSource
    | ExternalMetricSource
)


class MetricSpec(Model):
    """One thing to scale on; of several the one that asks for most replicas counts.

    type: Resource, ContainerResource, Pods, Object or External; the field of that name says more.
    resource: a resource of whole pods.
    container_resource: a resource of one container of each pod.
    pods: a metric that pods tell.
    object: a metric of another object.
    external: a metric of something else.
    """

    type: str
    resource: ResourceMetricSource | None = None
    container_resource: ContainerResourceMetricSource | None = None
    pods: PodsMetricSource | None = None
    object: ObjectMetricSource | None = None
    external: ExternalMetricSource | None = None

    @property
    def sources(self) -> dict[str, MetricSource | None]:
        """Return what is said for each type."""
        return {
            "Resource": self.resource,
            "ContainerResource": self.container_resource,
            "Pods": self.pods,
            "Object": self.object,
            "External": self.external,
        }

    @property
    def source(self) -> MetricSource | None:
        """Return what it is about, by its type."""
        return self.sources.get(self.type)

    @property
    def container(self) -> str:
        """Return the container whose resource it is; empty for whole pods."""
        return self.container_resource.container if self.container_resource is not None else ""


class MetricValueStatus(Model):
    """What a metric is now.

    average_utilization: in percent of what the pods request.
    average_value: as an amount for each pod.
    value: as an amount for all of them together.
    """

    average_utilization: int | None = None
    average_value: Quantity | None = None
    value: Quantity | None = None


class ResourceMetricStatus(Model):
    """A resource of whole pods, now.

    name: which resource.
    current: what it is.
    """

    name: str
    current: MetricValueStatus


class ContainerResourceMetricStatus(Model):
    """A resource of one container of each pod, now.

    name: which resource.
    container: which container.
    current: what it is.
    """

    name: str
    container: str
    current: MetricValueStatus


class PodsMetricStatus(Model):
    """What pods tell of themselves, now.

    metric: which metric.
    current: what it is.
    """

    metric: MetricIdentifier
    current: MetricValueStatus


class ObjectMetricStatus(Model):
    """What is told of an object, now.

    metric: which metric.
    current: what it is.
    described_object: the object.
    """

    metric: MetricIdentifier
    current: MetricValueStatus
    described_object: CrossVersionObjectReference


class ExternalMetricStatus(Model):
    """What is told of something outside of the cluster, now.

    metric: which metric.
    current: what it is.
    """

    metric: MetricIdentifier
    current: MetricValueStatus


type SourceStatus = (
    ResourceMetricStatus
    | ContainerResourceMetricStatus
    | PodsMetricStatus
    | ObjectMetricStatus
    | ExternalMetricStatus
)


class MetricStatus(Model):
    """What one of the metrics was when it was decided on last.

    type: Resource, ContainerResource, Pods, Object or External.
    resource: of whole pods.
    container_resource: of one container of each pod.
    pods: of what pods tell.
    object: of another object.
    external: of something else.
    """

    type: str
    resource: ResourceMetricStatus | None = None
    container_resource: ContainerResourceMetricStatus | None = None
    pods: PodsMetricStatus | None = None
    object: ObjectMetricStatus | None = None
    external: ExternalMetricStatus | None = None

    @property
    def source(self) -> SourceStatus | None:
        """Return what it tells, by its type."""
        found = (self.resource, self.container_resource, self.pods, self.object, self.external)
        return next((one for one in found if one is not None), None)


CPU_80 = MetricSpec(
    type="Resource",
    resource=ResourceMetricSource(
        name="cpu", target=MetricTarget(type="Utilization", average_utilization=80)
    ),
)


def status_for(spec: MetricSpec, current: MetricValueStatus) -> MetricStatus:
    """Return what is told of a metric that is now `current`."""
    match spec.source:
        case ResourceMetricSource(name=name):
            resource = ResourceMetricStatus(name=name, current=current)
            return MetricStatus(type=spec.type, resource=resource)
        case ContainerResourceMetricSource(name=name, container=container):
            part = ContainerResourceMetricStatus(name=name, container=container, current=current)
            return MetricStatus(type=spec.type, container_resource=part)
        case PodsMetricSource(metric=metric):
            pods = PodsMetricStatus(metric=metric, current=current)
            return MetricStatus(type=spec.type, pods=pods)
        case ObjectMetricSource(metric=metric, described_object=described):
            one = ObjectMetricStatus(metric=metric, current=current, described_object=described)
            return MetricStatus(type=spec.type, object=one)
        case ExternalMetricSource(metric=metric):
            external = ExternalMetricStatus(metric=metric, current=current)
            return MetricStatus(type=spec.type, external=external)
        case _:
            return MetricStatus(type=spec.type)


def told(spec: MetricSpec, statuses: tuple[MetricStatus, ...]) -> str:
    """Return a metric as a table shows it: what it is, and what it should be."""
    source = spec.source
    if source is None:
        return "<unknown>"
    is_now = next((_current(one) for one in statuses if _is_of(one, spec)), MetricValueStatus())
    name = getattr(source, "name", "") or getattr(source, "metric", MetricIdentifier(name="")).name
    match source.target.type:
        case "Utilization":
            now, wanted = is_now.average_utilization, source.target.average_utilization
            return f"{name}: {'<unknown>' if now is None else f'{now}%'}/{wanted}%"
        case "Value":
            return f"{name}: {_amount(is_now.value)}/{source.target.value}"
        case _:
            average = f"{_amount(is_now.average_value)}/{source.target.average_value}"
            return f"{name}: {average}" + (" (avg)" if spec.type in ("Object", "External") else "")


def _amount(amount: Quantity | None) -> str:
    return "<unknown>" if amount is None else str(amount)


def _current(one: MetricStatus) -> MetricValueStatus:
    return one.source.current if one.source is not None else MetricValueStatus()


def _is_of(one: MetricStatus, spec: MetricSpec) -> bool:
    """Whether a status is that of a metric: it would be written by the same spec."""
    return status_for(spec, _current(one)) == one


def metric_problems(one: MetricSpec, where: str) -> Iterator[Problem]:
    """Yield what is wrong with one of the metrics."""
    if one.type not in FIELDS:
        yield Problem(f"{where}.type", TYPE_RULE, "FieldValueNotSupported")
        return
    source, field = one.source, f"{where}.{FIELDS[one.type]}"
    if source is None:
        yield Problem(field, "must populate information for the given metric source",
                      "FieldValueRequired")  # fmt: skip
        return
    for kind, other in one.sources.items():
        if kind != one.type and other is not None:
            message = f"must be empty: the type is {one.type}"
            yield Problem(f"{where}.{FIELDS[kind]}", message, "FieldValueForbidden")
    yield from _source_problems(one, source, field)
    yield from _target_problems(source.target, f"{field}.target", TARGETS[one.type])


def _source_problems(one: MetricSpec, source: MetricSource, field: str) -> Iterator[Problem]:
    match source:
        case ResourceMetricSource(name=name) | ContainerResourceMetricSource(name=name):
            if name not in ("cpu", "memory"):
                yield Problem(f"{field}.name", NAME_RULE, "FieldValueNotSupported")
            if one.type == "ContainerResource" and not one.container:
                yield Problem(f"{field}.container", "must name a container", "FieldValueRequired")
        case ObjectMetricSource(described_object=described, metric=metric):
            yield from reference_problems(described, f"{field}.describedObject")
            yield from _identifier_problems(metric, f"{field}.metric")
        case PodsMetricSource(metric=metric) | ExternalMetricSource(metric=metric):
            yield from _identifier_problems(metric, f"{field}.metric")


def reference_problems(target: CrossVersionObjectReference, where: str) -> Iterator[Problem]:
    """Yield what is wrong with how an object is named."""
    for field, text in (("kind", target.kind), ("name", target.name)):
        if not text:
            yield Problem(f"{where}.{field}", "must name the object", "FieldValueRequired")
    if target.name and not names.is_subdomain(target.name):
        yield Problem(f"{where}.name", names.SUBDOMAIN_RULE)


def _identifier_problems(metric: MetricIdentifier, where: str) -> Iterator[Problem]:
    if not metric.name:
        yield Problem(f"{where}.name", "must name a metric", "FieldValueRequired")
    elif not is_metric_name(metric.name):
        yield Problem(f"{where}.name", METRIC_NAME_RULE)
    if metric.selector is not None:
        yield from metric.selector.problems(f"{where}.selector")


def _target_problems(
    target: MetricTarget, where: str, allowed: tuple[str, ...]
) -> Iterator[Problem]:
    if target.type not in allowed:
        message = f"must be {' or '.join(allowed)}"
        yield Problem(f"{where}.type", message, "FieldValueNotSupported")
        return
    share = target.average_utilization
    amounts = {"AverageValue": ("averageValue", target.average_value),
               "Value": ("value", target.value)}  # fmt: skip
    if target.type == "Utilization":
        if share is None or not 0 < share < 2**31:
            yield Problem(f"{where}.averageUtilization", "must be greater than 0")
    elif share is not None:
        message = f"must be empty: the type is {target.type}"
        yield Problem(f"{where}.averageUtilization", message)
    for kind, (name, amount) in amounts.items():
        if kind != target.type and amount is not None:
            yield Problem(f"{where}.{name}", f"must be empty: the type is {target.type}")
        if kind == target.type and (amount is None or amount.amount <= Decimal(0)):
            yield Problem(f"{where}.{name}", "must be positive")
