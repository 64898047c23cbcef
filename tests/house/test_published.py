"""What Kubernetes publishes of its fields is so here: its clients read and send it back.

The tables, and where they are from, are in tests/house/published.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import inspect

from apiserver.strategies.registry import strategy_of
from cubernetes.api.coding import codec, schema
from cubernetes.api.core.service import Service
from cubernetes.api.meta import Object
from cubernetes.api.notation import jsontext, yaml
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.patches import strategic
from cubernetes.api.registry import KINDS
from tests.house.sources import ROOT, none

HERE = Path(__file__).parent
SCHEMA: Any = yaml.tree_of((HERE / "published" / "schema.yaml").read_bytes())
PRINTED = [
    one.tree
    for path in (HERE / "published" / "printed.yaml", *sorted((HERE / "foreign").iterdir()))
    for one in yaml.documents(path.read_bytes())
]
# The least that each kind is, where every part that may be empty is there, and empty. A kind that
# needs no more than a name is not listed.
REFERENCE = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "u"}
KEY = {"key": "k", "path": "p"}
BARE: dict[str, Tree] = {
    "Node": {
        "spec": {"taints": [{"key": "a"}]},
        "status": {"nodeInfo": {}, "daemonEndpoints": {"kubeletEndpoint": {}}},
    },
    "Pod": {
        "spec": {
            "containers": [
                {
                    "name": "a",
                    "image": "b",
                    "ports": [{"containerPort": 80}],
                    "securityContext": {"seccompProfile": {"type": "Unconfined"}},
                    "lifecycle": {
                        "postStart": {"httpGet": {"port": 80}},
                        "preStop": {"sleep": {"seconds": 0}},
                    },
                    "livenessProbe": {
                        "httpGet": {"port": 80, "httpHeaders": [{"name": "A", "value": ""}]}
                    },
                    "readinessProbe": {"grpc": {"port": 80}},
                    "startupProbe": {"tcpSocket": {"port": 80}},
                    "env": [
                        {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
                        {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                    ],
                }
            ],
            "volumes": [
                {
                    "name": "v",
                    "hostPath": {"path": "/srv"},
                    "persistentVolumeClaim": {"claimName": "c"},
                    "configMap": {"items": [KEY]},
                    "secret": {"items": [KEY]},
                    "downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "f"}}]},
                    "projected": {"sources": [{"configMap": {"items": [KEY]}}]},
                }
            ],
        },
        "status": {
            "containerStatuses": [
                {"name": "a", "state": {"terminated": {}}, "lastState": {"terminated": {}}}
            ]
        },
    },
    "Service": {"spec": {"ports": [{"port": 80}]}},
    "Ingress": {"spec": {"rules": [{"http": {}}]}},
    "AutoScaler": {
        "spec": {
            "target": {"kind": "Deployment", "name": "a"},
            "maxReplicas": 2,
            "targetUtilization": {"cpu": {"maxPercentage": 50}},
        }
    },
    "HorizontalPodAutoscaler": {
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "a"}, "maxReplicas": 2}
    },
    "Role": {"rules": [{"verbs": ["get"]}]},
    "ClusterRole": {"rules": [{"verbs": ["get"]}]},
    "RoleBinding": {
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "a"}],
    },
    "ClusterRoleBinding": {
        "roleRef": {"kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "User", "name": "a"}],
    },
    "IngressClass": {"spec": {"parameters": {"kind": "a", "name": "b"}}},
    "PersistentVolume": {"spec": {"hostPath": {"path": "/srv"}}},
    "StorageClass": {"provisioner": "example.com/disks"},
    "PriorityClass": {"value": 1},
    "LimitRange": {"spec": {"limits": [{"type": "Pod"}]}},
    "RoutePolicy": {"spec": {"target": {"kind": "Service", "name": "web"}}},
    "Function": {"spec": {"files": {"action.py": ""}}},
    "FunctionRevision": {"spec": {"function": "f", "files": {"action.py": ""}}},
    "GpuJob": {"spec": {"script": "true"}},
    "GpuSite": {"spec": {"type": "standin"}},
    "Route": {"spec": {"path": "/", "function": "f"}},
    "Trigger": {"spec": {"function": "f", "kafka": {"topic": "t"}}},
    "Workflow": {"spec": {"steps": {"one": {"call": "f"}}}},
    "CustomResourceDefinition": {
        "spec": {
            "group": "a.example",
            "scope": "Cluster",
            "names": {"plural": "as", "kind": "A"},
            "versions": [{"name": "v1", "served": True, "storage": True}],
        }
    },
    "Dns": {"spec": {"host": "a.example"}},
    "Deployment": {
        "spec": {
            "selector": {"matchLabels": {"app": "a"}},
            "template": {"spec": {"containers": [{"name": "a", "image": "b"}]}},
        }
    },
    "DaemonSet": {
        "spec": {
            "selector": {"matchLabels": {"app": "a"}},
            "template": {"spec": {"containers": [{"name": "a", "image": "b"}]}},
        }
    },
    "StatefulSet": {
        "spec": {
            "selector": {"matchLabels": {"app": "a"}},
            "template": {"spec": {"containers": [{"name": "a", "image": "b"}]}},
        }
    },
    "CronJob": {
        "spec": {
            "schedule": "@hourly",
            "jobTemplate": {
                "spec": {
                    "template": {
                        "spec": {
                            "restartPolicy": "Never",
                            "containers": [{"name": "a", "image": "b"}],
                        }
                    }
                }
            },
        }
    },
    "Job": {
        "spec": {
            "template": {
                "spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]}
            }
        }
    },
    "ReplicaSet": {
        "spec": {
            "selector": {"matchLabels": {"app": "a"}},
            "template": {"spec": {"containers": [{"name": "a", "image": "b"}]}},
        }
    },
}
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)


def read(kind: type[Object], tree: Tree) -> Tree:
    """Return what a client gets back of what it sent."""
    return codec.to_tree(codec.from_tree(kind, tree).model.defaulted())


def bare(kind: type[Object]) -> Tree:
    tree = BARE.get(kind.resource.kind, {})
    return {**tree, "metadata": {"name": "a", "ownerReferences": [REFERENCE]}}


def published(table: str, kind: type[Object]) -> dict[str, Any]:
    """Return what a table says of a kind, under the paths of its fields."""
    told = SCHEMA[table]

    def of(name: str) -> dict[str, Any]:
        found = told.get(name, {})
        return found if isinstance(found, dict) else dict.fromkeys(found, True)

    found = {**of("Object"), **of(kind.resource.kind)}
    if kind.resource.kind == "AutoScaler":
        pod = {path: one for path, one in of("Pod").items() if path.startswith("spec.")}
        found |= {f"spec.template.{path}": one for path, one in pod.items()}
    if kind.resource.kind in ("ReplicaSet", "Deployment", "StatefulSet"):
        pod = {path: one for path, one in of("Pod").items() if path.startswith("spec.")}
        found |= {f"spec.template.{path}": one for path, one in pod.items()}
    if kind.resource.kind == "ControllerRevision":
        # Kubernetes keeps it as it is; ours is read as the template that its writers put there.
        pod = {path: one for path, one in of("Pod").items() if path.startswith("spec.")}
        found |= {f"data.spec.template.{path}": one for path, one in pod.items()}
    if prefix := {"Job": "spec", "CronJob": "spec.jobTemplate.spec"}.get(kind.resource.kind):
        pod = {path: one for path, one in of("Pod").items() if path.startswith("spec.")}
        found = {f"{prefix}.template.{path}": one for path, one in pod.items()} | found
    if kind.resource.kind == "DaemonSet":
        pod = {path: one for path, one in of("Pod").items() if path.startswith("spec.")}
        found |= {f"spec.template.{path}": one for path, one in pod.items()}
    return found


def parents(tree: Any, path: str) -> Iterator[tuple[Tree, str]]:
    """Yield each object in which the field at a path could stand, and the field's name."""
    name, _, rest = path.partition(".")
    if not rest:
        yield tree, name
        return
    below = tree.get(name.removesuffix("[]"))
    if below is not None:
        for one in below if name.endswith("[]") else [below]:
            yield from parents(one, rest)


@every_kind
def test_a_field_that_is_required_is_there_also_where_it_is_empty(kind: type[Object]) -> None:
    for tree in (bare(kind), *(one for one in PRINTED if one["kind"] == kind.resource.kind)):
        answer = read(kind, tree)
        none(
            [
                path
                for path in published("required", kind)
                for parent, field in parents(answer, path)
                if field not in parent
            ],
            "give it a default by shown()",
        )


@every_kind
def test_a_default_is_kubernetes_own_and_is_written(kind: type[Object]) -> None:
    made = strategy_of(kind).prepared(codec.from_tree(kind, bare(kind)).model.defaulted())
    answer = codec.to_tree(made)
    for path, wanted in published("defaults", kind).items():
        for parent, field in parents(answer, path):
            assert parent.get(field) == wanted, path


def test_what_is_left_open_on_purpose_is_filled_in_too() -> None:
    left_open = {"ipFamilies": [], "ipFamilyPolicy": "", "ports": [{"port": 80}]}
    answer = read(Service, {"metadata": {"name": "a"}, "spec": left_open})
    assert answer["spec"]["ipFamilies"] == ["IPv4"]
    assert answer["spec"]["ipFamilyPolicy"] == "SingleStack"


@pytest.mark.parametrize(
    "tree", PRINTED, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}"
)
def test_what_a_client_wrote_comes_back(tree: Tree) -> None:
    kind = KINDS.of(tree["apiVersion"], tree["kind"])
    assert kind is not None
    sent = jsontext.without_nulls(tree)
    none(sorted(lost(sent, read(kind, sent), "")), "the field must come back as it was written")


def lost(sent: Any, answer: Any, path: str) -> Iterator[str]:
    """Yield the paths of what was sent and did not come back."""
    if isinstance(sent, dict) and isinstance(answer, dict):
        for key, value in sent.items():
            where = f"{path}.{key}".lstrip(".")
            if key in answer:
                yield from lost(value, answer[key], where)
            else:
                yield where
    elif isinstance(sent, list) and isinstance(answer, list) and len(sent) == len(answer):
        for index, (one, other) in enumerate(zip(sent, answer, strict=True)):
            yield from lost(one, other, f"{path}[{index}]")
    elif sent != answer and not (isinstance(sent, str) and same_instant(sent, answer)):
        yield path


def same_instant(one: str, other: Any) -> bool:
    """Tell whether two texts are one time, however many digits its second has."""
    shorn = [str(text).rstrip("Z").rstrip("0").rstrip(".") for text in (one, other)]
    return one.endswith("Z") and shorn[0] == shorn[1]


@every_kind
def test_lists_merge_as_kubernetes_merges_them(kind: type[Object]) -> None:
    wanted = published("merged", kind)
    found = {
        path: strategic.merge_key(above, name) or "set"
        for path, above, name in lists_in(schema.type_of(kind), "", "")
        if strategic.merge_key(above, name) or (above, name) in strategic.MERGED_SETS
    }

    assert found == wanted


def lists_in(found: inspect.Type, path: str, above: str) -> Iterator[tuple[str, str, str]]:
    """Yield each list of a kind: its path, the field above it, and its name."""
    match found:
        case inspect.UnionType():
            for one in found.types:
                yield from lists_in(one, path, above)
        case inspect.VarTupleType():
            yield from lists_in(found.item_type, f"{path}[]", above)
        case inspect.StructType():
            for field in found.fields:
                where = f"{path}.{field.encode_name}".lstrip(".")
                if isinstance(field.type, inspect.VarTupleType):
                    yield where, above, field.encode_name
                yield from lists_in(field.type, where, field.encode_name)


def test_the_tables_are_about_fields_that_there_are() -> None:
    """A path that is misspelt would be a rule about nothing."""
    assert (ROOT / "tests/house/published/schema.yaml").exists()
    for kind in KINDS:
        for table in ("required", "merged", "defaults"):
            for path in published(table, kind):
                assert has(schema.type_of(kind), path.replace("[]", "").split(".")), path


def has(found: inspect.Type, names: list[str]) -> bool:
    match found:
        case inspect.UnionType():
            return any(has(one, names) for one in found.types)
        case inspect.VarTupleType():
            return has(found.item_type, names)
        case inspect.StructType():
            fields = {field.encode_name: field.type for field in found.fields}
            return not names or (names[0] in fields and has(fields[names[0]], names[1:]))
        case _:
            return not names
