"""The pods that benches write: of the size that pods of real clusters have."""

import json
from collections.abc import Mapping

# Of the object as the API shows it, status included.
POD_BYTES = 2500
# What the server adds: uid, times, resourceVersion, defaults.
SERVER_BYTES = 480


def pod(name: str, annotations: Mapping[str, str] | None = None) -> bytes:
    """Return the JSON of a pod that has about POD_BYTES once it is stored."""
    tree = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"app": "bench", "tier": "load"},
            "annotations": {"bench.cubernetes.io/filling": "", **(annotations or {})},
        },
        "spec": {
            "containers": [
                {
                    "name": "main",
                    "image": "cubernetes/web:1",
                    "command": ["/web", "--port", "8080"],
                    "env": [{"name": f"SETTING_{i}", "value": f"value {i}"} for i in range(8)],
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                }
            ]
        },
    }
    missing = POD_BYTES - SERVER_BYTES - len(_compact(tree))
    tree["metadata"]["annotations"]["bench.cubernetes.io/filling"] = "f" * missing  # type: ignore[index]
    return _compact(tree)


def _compact(tree: object) -> bytes:
    return json.dumps(tree, separators=(",", ":")).encode()
