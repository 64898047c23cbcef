"""What makes probes and hooks legal, by Kubernetes' rules (`validateProbe`, `validateHandler`)."""

import re
from collections.abc import Iterator

from cubernetes.api import names
from cubernetes.api.core.podspec.probes.actions import HTTPGetAction, TCPSocketAction
from cubernetes.api.core.podspec.probes.probe import Lifecycle, LifecycleHandler, Probe
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Model

_HEADER = re.compile(r"[-A-Za-z0-9]+\Z", re.ASCII)
_ONE_LINE = re.compile(r"[^\x00-\x1f\x7f]*\Z")
PORT_RULE = "must be a number from 1 to 65535, or a name of lower-case letters, digits and '-'"


def readiness_problems(probe: Probe, field: str) -> Iterator[Problem]:
    """Yield what is wrong with the readiness probe that stands at field."""
    yield from _actions(probe, field)
    if probe.termination_grace_period_seconds is not None:
        message = "must not be set for readinessProbes"
        yield Problem(f"{field}.terminationGracePeriodSeconds", message)


def hook_problems(lifecycle: Lifecycle, grace_s: int, field: str) -> Iterator[Problem]:
    """Yield what is wrong with the hooks that stand at field. grace_s: the pod's."""
    for part, hook in (("postStart", lifecycle.post_start), ("preStop", lifecycle.pre_stop)):
        if hook is not None:
            yield from _actions(hook, f"{field}.{part}")
            if hook.sleep is not None and hook.sleep.seconds > grace_s:
                rule = f"must be at most terminationGracePeriodSeconds, {grace_s}"
                yield Problem(f"{field}.{part}.sleep.seconds", rule)


def ending_problems(probe: Probe, field: str) -> Iterator[Problem]:
    """Yield what is wrong with the liveness or startup probe that stands at field."""
    yield from _actions(probe, field)
    if probe.success_threshold != 1:
        yield Problem(f"{field}.successThreshold", "must be 1")
    if probe.termination_grace_period_seconds == 0:
        yield Problem(f"{field}.terminationGracePeriodSeconds", "must be greater than 0")


def _actions(one: Probe | LifecycleHandler, field: str) -> Iterator[Problem]:
    ways: tuple[Model | None, ...]
    if isinstance(one, Probe):
        ways = (one.exec, one.http_get, one.tcp_socket, one.grpc)
        if one.tcp_socket is not None:
            yield from _socket(one.tcp_socket, f"{field}.tcpSocket")
    else:
        ways = (one.exec, one.http_get, one.sleep)
    if sum(way is not None for way in ways) != 1:
        yield Problem(field, "must specify exactly one handler type", "FieldValueRequired")
    if one.exec is not None and not one.exec.command:
        yield Problem(f"{field}.exec.command", "is required", "FieldValueRequired")
    if one.http_get is not None:
        yield from _request(one.http_get, f"{field}.httpGet")


def _request(request: HTTPGetAction, field: str) -> Iterator[Problem]:
    yield from _port(request.port, f"{field}.port")
    for part, text in (("path", request.path), ("host", request.host)):
        if not _ONE_LINE.match(text):
            yield Problem(f"{field}.{part}", "must not have control characters")
    for index, header in enumerate(request.http_headers):
        if not _HEADER.match(header.name):
            yield Problem(f"{field}.httpHeaders[{index}].name", "must be letters, digits and '-'")
        if not _ONE_LINE.match(header.value):
            where = f"{field}.httpHeaders[{index}].value"
            yield Problem(where, "must not have control characters")


def _socket(action: TCPSocketAction, field: str) -> Iterator[Problem]:
    yield from _port(action.port, f"{field}.port")


def _port(port: int | str, field: str) -> Iterator[Problem]:
    if isinstance(port, str) and not names.is_port_name(port):
        yield Problem(field, PORT_RULE)
