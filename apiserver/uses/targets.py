"""Where a store of samples finds what pods use: every node's kubelet, as nodes come and go."""

import json

from apiserver.backend import Backend
from apiserver.call import Call
from cubernetes.api.autoscaling.horizontalpodautoscaler import HorizontalPodAutoscaler
from cubernetes.api.core.node import Node
from cubernetes.api.cubernetes.autoscaler import AutoScaler
from cubernetes.api.meta import Object
from cubernetes.host.web.messages import Response

METRICS_PATH = "/metrics/resource"
SCALERS: tuple[type[Object], ...] = (HorizontalPodAutoscaler, AutoScaler)
# How often what pods use is read: while autoscalers decide on it, and else.
OFTEN, SELDOM = "1s", "10s"


async def targets(backend: Backend, _: Call) -> Response:
    """Answer as Prometheus' HTTP service discovery does."""
    await backend.caught_up()
    found = (one for one in backend.objects(Node) if isinstance(one, Node))
    is_scaled = any(True for kind in SCALERS for _ in backend.objects(kind))
    interval = OFTEN if is_scaled else SELDOM
    groups = [
        {
            "targets": [f"{node.address}:{node.kubelet_port}"],
            "labels": {
                "node": node.metadata.name,
                "__metrics_path__": METRICS_PATH,
                "__scrape_interval__": interval,
            },
        }
        for node in sorted(found, key=lambda node: node.metadata.name)
        if node.address
    ]
    return Response(200, json.dumps(groups).encode())
