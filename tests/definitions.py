"""A definition of a custom kind to test with, of which a test changes what it is about."""

from typing import Any

type Tree = dict[str, Any]

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "stable.example.com"
NAME = f"crontabs.{GROUP}"
CRONTABS = f"/apis/{GROUP}/v1/namespaces/default/crontabs"

SPEC: Tree = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {"type": "string", "minLength": 1},
        "cronSpec": {"type": "string", "pattern": r"^\S+( \S+){4}$"},
        "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
        "size": {"x-kubernetes-int-or-string": True},
        "mode": {"type": "string", "enum": ["fast", "slow"]},
        "note": {"type": "string", "nullable": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port"],
            "items": {
                "type": "object",
                "required": ["port"],
                "properties": {
                    "port": {"type": "integer"},
                    "protocol": {"type": "string", "default": "TCP"},
                },
            },
        },
    },
}
STATUS: Tree = {
    "type": "object",
    "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}},
}
SHAPE: Tree = {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}
SCALE: Tree = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}


def a_version(name: str = "v1", **changes: object) -> Tree:
    return {
        "name": name,
        "served": True,
        "storage": name == "v1",
        "schema": {"openAPIV3Schema": SHAPE},
        "subresources": {"status": {}, "scale": SCALE},
        **changes,
    }


def a_definition(*versions: Tree, names: Tree | None = None, **spec: object) -> Tree:
    called = {"plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"], **(names or {})}
    whole = {
        "group": GROUP,
        "scope": "Namespaced",
        "names": called,
        "versions": [*versions] or [a_version()],
        **spec,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{called['plural']}.{whole['group']}"},
        "spec": whole,
    }


def a_crontab(name: str = "nightly", version: str = "v1", **spec: object) -> Tree:
    return {
        "apiVersion": f"{GROUP}/{version}",
        "kind": "CronTab",
        "metadata": {"name": name},
        "spec": {"image": "busybox:1", **spec},
    }
