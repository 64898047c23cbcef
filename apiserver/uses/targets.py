"""Where a store of samples finds what pods use: every node's kubelet, as nodes come and go."""

import json

from apiserver.backend import Backend
from apiserver.call import Call
from cubernetes.api.core.node import Node
from cubernetes.host.web.messages import Response

METRICS_PATH = "/metrics/resource"


async def targets(backend: Backend, _: Call) -> Response:
    """Answer as Prometheus' HTTP service discovery does."""
    await backend.caught_up()
    found = (one for one in backend.objects(Node) if isinstance(one, Node))
    groups = [
        {
            "targets": [f"{node.address}:{node.kubelet_port}"],
            "labels": {"node": node.metadata.name, "__metrics_path__": METRICS_PATH},
        }
        for node in sorted(found, key=lambda node: node.metadata.name)
        if node.address
    ]
    return Response(200, json.dumps(groups).encode())
