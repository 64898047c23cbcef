"""Where a store of samples finds what pods use: every node's kubelet, as nodes come and go.

And what pods tell of themselves: those with the annotation `prometheus.io/scrape: "true"`.
"""

import json
from collections.abc import Iterable, Mapping

from apiserver.backend import Backend
from apiserver.call import Call
from cubernetes.api.autoscaling.horizontalpodautoscaler import HorizontalPodAutoscaler
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.cubernetes.autoscaler import AutoScaler
from cubernetes.api.meta import Object
from cubernetes.host.web.messages import Response

METRICS_PATH = "/metrics/resource"
SCALERS: tuple[type[Object], ...] = (HorizontalPodAutoscaler, AutoScaler)
# How often what pods use is read: while autoscalers decide on it, and else.
OFTEN, SELDOM = "1s", "10s"
SCRAPE, SCHEME = "prometheus.io/scrape", "prometheus.io/scheme"
PORT, PATH = "prometheus.io/port", "prometheus.io/path"
PORT_USUAL, PATH_USUAL = "80", "/metrics"
PORT_CHARS_MAX, PATH_CHARS_MAX = 5, 1024

type Group = Mapping[str, object]


async def targets(backend: Backend, _: Call) -> Response:
    """Answer as Prometheus' HTTP service discovery does, with every kubelet."""
    await backend.caught_up()
    found = (one for one in backend.objects(Node) if isinstance(one, Node))
    is_scaled = any(True for kind in SCALERS for _ in backend.objects(kind))
    interval = OFTEN if is_scaled else SELDOM
    groups: list[Group] = [
        {
            "targets": [f"{node.address}:{node.kubelet_port}"],
            "labels": {
                "node": node.metadata.name,
                # Its certificate's: the address may be another than the one that it joined with.
                "__server_name__": node.metadata.name,
                "__metrics_path__": METRICS_PATH,
                "__scrape_interval__": interval,
            },
        }
        for node in sorted(found, key=lambda node: node.metadata.name)
        if node.address
    ]
    return Response(200, json.dumps(groups).encode())


async def pod_targets(backend: Backend, _: Call) -> Response:
    """Answer with every pod that wants to be scraped, over plain HTTP at its own address."""
    await backend.caught_up()
    watched = {
        one.metadata.namespace
        for one in backend.objects(HorizontalPodAutoscaler)
        if isinstance(one, HorizontalPodAutoscaler)
        and any(spec.type in ("Pods", "Object", "External") for spec in one.spec.metrics)
    }
    pods = (one for one in backend.objects(Pod) if isinstance(one, Pod))
    groups = [group for pod in pods for group in _groups_of(pod, watched)]
    return Response(200, json.dumps(groups).encode())


def _groups_of(pod: Pod, watched: set[str]) -> Iterable[Group]:
    meta, told = pod.metadata, pod.metadata.annotations
    is_wanted = told.get(SCRAPE) == "true" and told.get(SCHEME, "http") == "http"
    address = _address(pod)
    if not is_wanted or not address or is_finished(pod):
        return
    path = told.get(PATH, PATH_USUAL)
    yield {
        "targets": [address],
        "labels": {
            "namespace": meta.namespace,
            "pod": meta.name,
            "node": pod.spec.node_name,
            "__metrics_path__": path if path.startswith("/") else f"/{path}",
            "__scrape_interval__": OFTEN if meta.namespace in watched else SELDOM,
        },
    }


def _address(pod: Pod) -> str:
    """Return where a pod is asked; empty where it has no address, or names no port or path.

    On its node's network it would be the node's programs that are asked.
    """
    told = pod.metadata.annotations
    port = told.get(PORT, PORT_USUAL)
    is_port = port.isascii() and port.isdigit() and len(port) <= PORT_CHARS_MAX
    is_path = len(told.get(PATH, "")) <= PATH_CHARS_MAX
    is_own = bool(pod.status.pod_ip) and not pod.spec.host_network
    if not (is_port and is_path and is_own and 0 < int(port) < 2**16):
        return ""
    return f"{pod.status.pod_ip}:{int(port)}"
