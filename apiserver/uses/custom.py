"""custom.metrics.k8s.io and external.metrics.k8s.io: what rules in PromQL say, now.

The rules are those of `kube-system/metric-rules`, by which HorizontalPodAutoscalers decide too.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from apiserver.backend import Backend
from apiserver.call import Call, Handler, Policy, Route
from cubernetes.api import names
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.service import Service
from cubernetes.api.errors import NotFound, ServiceUnavailable
from cubernetes.api.meta import Object
from cubernetes.api.metrics import rules as metricrules
from cubernetes.api.metrics.rules import Rules, equals, is_metric_name, matchers_of
from cubernetes.api.selectors import parse
from cubernetes.host.web.messages import Response
from cubernetes.reconcile.readings import Absent, SourceTrouble, Table, Values, Why, reading_of

CUSTOM: Final = "custom.metrics.k8s.io"
EXTERNAL: Final = "external.metrics.k8s.io"
CUSTOM_VERSIONS = ("v1beta2", "v1beta1")
EXTERNAL_VERSION: Final = "v1beta1"
EVERY = "*"
# Which segments of their paths are names: of metrics, and of one object or all of them.
NAMES: Mapping[str, Callable[[str], bool]] = {
    "metric": is_metric_name,
    "target": lambda text: text == EVERY or names.is_subdomain(text),
}
DEADLINE_S = 4.0
AWAY = "the store of samples is away, or not enabled (cuberoot enable tsdb)"
# Of any object there may be a metric; these are what clients are told of.
TOLD: tuple[type[Object], ...] = (Pod, Service, Namespace)


class Asked(NamedTuple):
    """What a path of custom.metrics.k8s.io is about."""

    version: str
    namespace: str
    plural: str
    name: str
    metric: str


def routes() -> Iterator[Route]:
    custom = f"/apis/{CUSTOM}"
    yield _route(custom, _group(CUSTOM, CUSTOM_VERSIONS), Policy.KNOWN)
    for version in CUSTOM_VERSIONS:
        root = f"{custom}/{version}"
        yield _route(root, _custom_resources(version), Policy.KNOWN)
        yield _route(f"{root}/namespaces/{{namespace}}/metrics/{{metric}}", of_objects)
        yield _route(
            f"{root}/namespaces/{{namespace}}/{{plural}}/{{target}}/{{metric}}", of_objects
        )
    external = f"/apis/{EXTERNAL}"
    yield _route(external, _group(EXTERNAL, (EXTERNAL_VERSION,)), Policy.KNOWN)
    root = f"{external}/{EXTERNAL_VERSION}"
    yield _route(root, _external_resources, Policy.KNOWN)
    yield _route(f"{root}/namespaces/{{namespace}}/{{metric}}", of_something)


def groups(backend: Backend) -> list[dict[str, object]]:
    """Return the groups as discovery lists them: one of which nothing is told is not listed."""
    if backend.samples is None:
        return []
    found = [_group_told(CUSTOM, CUSTOM_VERSIONS)]
    if any(_externals(_rules(backend))):
        found.append(_group_told(EXTERNAL, (EXTERNAL_VERSION,)))
    return found


async def of_objects(backend: Backend, call: Call) -> Response:
    """Raises: NotFound, ServiceUnavailable, BadRequest."""
    await backend.caught_up()
    asked = _asked(call)
    is_namespace = asked.plural == Namespace.resource.plural
    kind = Namespace if is_namespace else _kind(backend, asked)
    label = kind.resource.kind.lower()
    chosen = parse(call.request.parameter("metricLabelSelector"))
    own = [equals("namespace", asked.namespace)]
    if asked.name != EVERY and kind is not Namespace:
        own.append(equals(label, asked.name))
    text = metricrules.custom_query(
        _rules(backend), asked.metric, label, [*own, *matchers_of(chosen)]
    )
    values = await _read(backend, text, (label,), asked.metric)
    objects = _objects(backend, call, kind, asked)
    items = [
        _custom_item(asked, kind, one, values.numbers[(one.metadata.name,)], values.at)
        for one in objects
        if (one.metadata.name,) in values.numbers
    ]
    if not items and asked.name != EVERY:
        raise _no_metric(asked.metric, f" for {asked.plural} {asked.name}")
    api_version = f"{CUSTOM}/{asked.version}"
    return _listed("MetricValueList", api_version, items)


async def of_something(backend: Backend, call: Call) -> Response:
    """Raises: NotFound, ServiceUnavailable, BadRequest."""
    await backend.caught_up()
    metric = call.request.path.strip("/").split("/")[-1]
    conditions = matchers_of(parse(call.request.parameter("labelSelector")))
    text = metricrules.external_query(_rules(backend), metric, conditions)
    values = await _read(backend, f"sum({text})" if text else "", (), metric)
    items: list[dict[str, object]] = [
        {
            "metricName": metric,
            "metricLabels": {},
            "timestamp": _moment(values.at),
            "value": _amount(number),
        }
        for number in values.numbers.values()
    ]
    return _listed("ExternalMetricValueList", f"{EXTERNAL}/{EXTERNAL_VERSION}", items)


async def _read(backend: Backend, text: str, labels: tuple[str, ...], metric: str) -> Values:
    if backend.samples is None:
        raise ServiceUnavailable(AWAY)
    if not text:
        raise _no_metric(metric, ": no rule of kube-system/metric-rules names it")
    question = Table(text, labels)
    try:
        async with asyncio.timeout(DEADLINE_S):
            samples = await backend.samples.samples(text)
    except TimeoutError as error:
        message = f"the store of samples did not answer within {DEADLINE_S:g} s"
        raise ServiceUnavailable(message, retry_after_s=5) from error
    except SourceTrouble as error:
        raise ServiceUnavailable(f"{AWAY}: {error}", retry_after_s=5) from error
    found = reading_of(question, samples, backend.env.clock.now())
    match found:
        case Values():
            return found
        case Absent(why=Why.NOTHING):
            return Values({}, backend.env.clock.now())
        case _:
            raise ServiceUnavailable(f"the store of samples: {found}", retry_after_s=5)


def _asked(call: Call) -> Asked:
    segments = call.request.path.strip("/").split("/")
    version, namespace, metric = segments[2], segments[4], segments[-1]
    if segments[5] == "metrics" and len(segments) == 7:
        return Asked(version, namespace, Namespace.resource.plural, namespace, metric)
    plural, _, _ = segments[5].partition(".")
    return Asked(version, namespace, plural, segments[6], metric)


def _kind(backend: Backend, asked: Asked) -> type[Object]:
    for kind in backend.mirror.kinds:
        if kind.resource.plural == asked.plural and kind.resource.namespaced:
            return kind
    raise _no_metric(asked.metric, f" for {asked.plural}")


def _objects(backend: Backend, call: Call, kind: type[Object], asked: Asked) -> Iterable[Object]:
    if asked.name != EVERY:
        namespace = asked.namespace if kind is not Namespace else ""
        one = backend.find(kind, asked.name, namespace)
        return [one] if one is not None else []
    chosen = parse(call.request.parameter("labelSelector"))
    found = (one for one in backend.within(kind, asked.namespace))
    matching = (one for one in found if chosen.matches(one.metadata.labels))
    return sorted(matching, key=lambda one: one.metadata.name)


def _custom_item(
    asked: Asked, kind: type[Object], one: Object, number: float, at: datetime
) -> dict[str, object]:
    resource = kind.resource
    described = {
        "kind": resource.kind,
        "namespace": one.metadata.namespace,
        "name": one.metadata.name,
        "apiVersion": resource.api_version,
    }
    told: dict[str, object] = {"describedObject": described}
    if asked.version == "v1beta1":
        told["metricName"] = asked.metric
    else:
        told["metric"] = {"name": asked.metric}
    return {**told, "timestamp": _moment(at), "value": _amount(number)}


def _listed(kind: str, api_version: str, items: list[dict[str, object]]) -> Response:
    told = {"kind": kind, "apiVersion": api_version, "metadata": {}, "items": items}
    return Response(200, msgspec.json.encode(told))


def _amount(number: float) -> str:
    """Return a number as a quantity, to a thousandth."""
    milli = round(number * 1000)
    return f"{milli}m" if milli % 1000 else str(milli // 1000)


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _no_metric(metric: str, where: str) -> NotFound:
    return NotFound(f"the server could not find the metric {metric}{where}")


def _rules(backend: Backend) -> Rules:
    found = backend.find(ConfigMap, metricrules.NAME, metricrules.NAMESPACE)
    return found.data if found is not None else {}


def _externals(rules: Rules) -> list[str]:
    """Return the metrics that are told of no object: those whose rules have no place for one."""
    return sorted(name for name, rule in rules.items() if "$by" not in rule)


def _route(path: str, handler: Handler, policy: Policy = Policy.ROLE) -> Route:
    resource = "metrics" if policy is Policy.ROLE else ""
    return Route("GET", path, "get", handler, policy, resource=resource)


def _group_told(group: str, versions: tuple[str, ...]) -> dict[str, object]:
    told = [{"groupVersion": f"{group}/{one}", "version": one} for one in versions]
    return {"name": group, "versions": told, "preferredVersion": told[0]}


def _group(group: str, versions: tuple[str, ...]) -> Handler:
    told = {"kind": "APIGroup", "apiVersion": "v1", **_group_told(group, versions)}

    async def answer(_: Backend, __: Call) -> Response:
        return Response(200, msgspec.json.encode(told))

    return answer


def _custom_resources(version: str) -> Handler:
    async def answer(backend: Backend, _: Call) -> Response:
        ruled = sorted(name for name, rule in _rules(backend).items() if "$by" in rule)
        listed = [
            _resource(f"{one.plural}/{metric}", "MetricValueList", namespaced=one.namespaced)
            for one in (kind.resource for kind in TOLD)
            for metric in (EVERY, *ruled)
        ]
        return _resources(f"{CUSTOM}/{version}", listed)

    return answer


async def _external_resources(backend: Backend, _: Call) -> Response:
    found = _externals(_rules(backend))
    listed = [_resource(one, "ExternalMetricValueList", namespaced=True) for one in found]
    return _resources(f"{EXTERNAL}/{EXTERNAL_VERSION}", listed)


def _resource(name: str, kind: str, *, namespaced: bool) -> dict[str, object]:
    return {
        "name": name,
        "singularName": "",
        "namespaced": namespaced,
        "kind": kind,
        "verbs": ["get"],
    }


def _resources(group_version: str, listed: list[dict[str, object]]) -> Response:
    told = {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": listed,
    }
    return Response(200, msgspec.json.encode(told))
