"""Probes of a container: what is asked, how often, and how many answers count."""

from cubernetes.api.core.podspec.probes.actions import (
    ExecAction,
    GRPCAction,
    HTTPGetAction,
    SleepAction,
    TCPSocketAction,
)
from cubernetes.api.meta import Model, Seconds, replaced, shown

TIMEOUT_DEFAULT_S, PERIOD_DEFAULT_S = 1, 10
SUCCESSES_DEFAULT, FAILURES_DEFAULT = 1, 3


class Probe(Model):
    """A question that the kubelet asks a container again and again; exactly one way is set.

    exec: by a command in the container.
    http_get: by an HTTP request.
    tcp_socket: by a TCP connection.
    grpc: by the health check of gRPC.
    initial_delay_seconds: how long after the container's start it is asked first.
    timeout_seconds: how long an answer may take; 0 is the default.
    period_seconds: how often it is asked; 0 is the default.
    success_threshold: after so many successes in a row it passes; 1 but for readiness.
    failure_threshold: after so many failures in a row it fails.
    termination_grace_period_seconds: the grace of a container that is ended because of it, in place
        of the pod's; not of readiness.
    """

    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    grpc: GRPCAction | None = None
    initial_delay_seconds: Seconds = 0
    timeout_seconds: Seconds = shown(TIMEOUT_DEFAULT_S)
    period_seconds: Seconds = shown(PERIOD_DEFAULT_S)
    success_threshold: Seconds = shown(SUCCESSES_DEFAULT)
    failure_threshold: Seconds = shown(FAILURES_DEFAULT)
    termination_grace_period_seconds: Seconds | None = None


class LifecycleHandler(Model):
    """What is done at the start or the end of a container; exactly one way is set.

    exec: a command in the container; code 0 is success.
    http_get: an HTTP request.
    sleep: nothing, for a while.
    """

    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    sleep: SleepAction | None = None


class Lifecycle(Model):
    """What is done right after a container's start and right before its end.

    post_start: done after the start; where it fails, the container is ended.
    pre_stop: done before the container is asked to end; it is part of the grace.
    """

    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None


def defaulted_probe(probe: Probe | None) -> Probe | None:
    """Return the probe with Kubernetes' defaults in place of 0 and of empty texts."""
    if probe is None:
        return None
    return replaced(
        probe,
        http_get=defaulted_request(probe.http_get),
        timeout_seconds=probe.timeout_seconds or TIMEOUT_DEFAULT_S,
        period_seconds=probe.period_seconds or PERIOD_DEFAULT_S,
        success_threshold=probe.success_threshold or SUCCESSES_DEFAULT,
        failure_threshold=probe.failure_threshold or FAILURES_DEFAULT,
    )


def defaulted_lifecycle(lifecycle: Lifecycle | None) -> Lifecycle | None:
    """Return the hooks with their requests' defaults filled in."""
    if lifecycle is None:
        return None
    return replaced(
        lifecycle,
        post_start=_defaulted_hook(lifecycle.post_start),
        pre_stop=_defaulted_hook(lifecycle.pre_stop),
    )


def defaulted_request(request: HTTPGetAction | None) -> HTTPGetAction | None:
    if request is None:
        return None
    return replaced(request, path=request.path or "/", scheme=request.scheme or "HTTP")


def _defaulted_hook(hook: LifecycleHandler | None) -> LifecycleHandler | None:
    return None if hook is None else replaced(hook, http_get=defaulted_request(hook.http_get))
