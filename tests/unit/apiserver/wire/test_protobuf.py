"""Protobuf bodies mean what Kubernetes' own library meant, and arbitrary bytes do no harm.

Every kind's tests/house/foreign/<kind>.yaml is encoded by tests/protobuf.py, from the table that
reads it. protobuf/<kind>.pb, where there is one, is the same encoded by k8s.io/client-go 0.32.4's
scheme: it shows that the table's numbers are Kubernetes'. A new kind needs none; its numbers come
from generated.proto, and a body that kubectl sent is the better witness (below, for two kinds).
"""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from apiserver.wire import protobuf
from apiserver.wire.protomessages import Field, messages
from cubernetes.api.bodies.envelopes import Binding, DeleteOptions, Scale
from cubernetes.api.coding import codec, schema
from cubernetes.api.errors import BadRequest
from cubernetes.api.meta import Model, Object
from cubernetes.api.notation import yaml
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.registry import KINDS
from cubernetes.host.protowire import varint
from tests.protobuf import body_of

HERE = Path(__file__).resolve().parent
FOREIGN = HERE.parents[2] / "house" / "foreign"
# The kinds that Kubernetes has: it has no messages for ours. Definitions of kinds are refused in
# protobuf, by a sentence: their schemas are trees of any depth.
OTHERS = ("cubernetes.io", "apiextensions.k8s.io")
TOLD = [kind for kind in KINDS if not kind.resource.group.endswith(OTHERS)]
# Fields that no Kubernetes of 0.32 has yet, or that its messages never had; and one that is left
# out of what clients send, in JSON as well.
LATER = {"PodStatus.observedGeneration", "ObjectMeta.managedFields"}
# These stand in the envelope.
TYPE_META = {
    f"{kind}.{field}"
    for kind in (*(one.resource.kind for one in TOLD), "DeleteOptions", "Binding", "Scale")
    for field in ("apiVersion", "kind")
}


def encoded(kind: type[Object]) -> bytes:
    return body_of(foreign(kind))


def foreign(kind: type[Object]) -> Tree:
    return yaml.tree_of((FOREIGN / f"{kind.resource.kind.lower()}.yaml").read_bytes())


SAMPLES = sorted((HERE / "protobuf").glob("*.pb"))


def part(number: int, content: bytes | int) -> bytes:
    """Return a field as it stands in a message."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def a_body(kind: str, raw: bytes, api_version: str = "v1") -> bytes:
    about = part(1, api_version.encode()) + part(2, kind.encode())
    return protobuf.MAGIC + part(1, about) + part(2, raw)


@pytest.mark.parametrize("kind", TOLD, ids=lambda kind: kind.resource.kind)
def test_what_is_encoded_by_the_table_is_read_as_its_yaml_is(kind: type[Object]) -> None:
    tree = protobuf.tree_of(encoded(kind))

    wanted = codec.served(kind, foreign(kind))
    assert codec.from_tree(kind, tree, "Strict").model == wanted


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_what_kubernetes_library_encodes_is_read_as_its_yaml_is(path: Path) -> None:
    kind = next(one for one in KINDS if one.resource.singular == path.stem)
    tree = protobuf.tree_of(path.read_bytes())

    wanted = codec.served(kind, foreign(kind))
    assert codec.from_tree(kind, tree, "Strict").model == wanted


def test_bytes_of_configmaps_and_secrets_are_base64_as_in_json() -> None:
    """As `kubectl create secret generic db --from-literal=password=x` lays them out."""
    metadata = part(1, part(1, b"db") + part(2, b"") + part(3, b""))
    secret = metadata + part(2, part(1, b"password") + part(2, b"x")) + part(3, b"Opaque")
    assert protobuf.tree_of(a_body("Secret", secret)) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "db"},
        "data": {"password": "eA=="},
        "type": "Opaque",
    }
    settings = part(2, part(1, b"text") + part(2, b"EUR")) + part(4, 1)
    settings += part(3, part(1, b"logo") + part(2, b"\xff\x00")) + part(3, part(1, b"empty"))
    assert protobuf.tree_of(a_body("ConfigMap", settings)) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "data": {"text": "EUR"},
        "binaryData": {"logo": "/wA=", "empty": ""},
        "immutable": True,
    }


def test_where_variables_come_from_is_read() -> None:
    variable = part(1, b"P") + part(3, part(4, part(1, part(1, b"db")) + part(2, b"key")))
    source = part(1, b"S_") + part(2, part(1, part(1, b"shop")) + part(2, 0))
    pod = part(2, part(2, part(7, variable) + b"\x9a\x01" + varint(len(source)) + source))
    container = protobuf.tree_of(a_body("Pod", pod))["spec"]["containers"][0]
    ref = {"secretKeyRef": {"name": "db", "key": "key"}}
    assert container["env"] == [{"name": "P", "valueFrom": ref}]
    sources = [{"prefix": "S_", "configMapRef": {"name": "shop", "optional": False}}]
    assert container["envFrom"] == sources


def test_probes_are_read_by_the_numbers_of_kubernetes() -> None:
    """A Go client writes every plain number, set or not."""
    port = part(2, part(1, 1) + part(2, 0) + part(3, b"http"))
    header = part(5, part(1, b"X") + part(2, b"y"))
    request = part(1, b"/ok") + port + part(3, b"") + part(4, b"HTTP") + header
    numbers = part(2, 5) + part(3, 1) + part(4, 10) + part(5, 1) + part(6, 3)
    liveness = part(1, part(2, request)) + numbers + part(7, 0)
    readiness = part(1, part(1, part(1, b"cat") + part(1, b"/ok"))) + numbers
    startup = part(1, part(4, part(1, 90) + part(2, b"shop"))) + numbers
    container = part(10, liveness) + part(11, readiness)
    container += b"\xb2\x01" + varint(len(startup)) + startup
    spec = b"\x12" + varint(len(container)) + container
    body = b"\x12" + varint(len(spec)) + spec

    said = {"initialDelaySeconds": 5, "timeoutSeconds": 1, "periodSeconds": 10}
    said |= {"successThreshold": 1, "failureThreshold": 3}
    headers = [{"name": "X", "value": "y"}]
    asked = {"path": "/ok", "port": "http", "scheme": "HTTP", "httpHeaders": headers}
    assert protobuf.tree_of(a_body("Pod", body))["spec"]["containers"][0] == {
        "livenessProbe": {"httpGet": asked, "terminationGracePeriodSeconds": 0, **said},
        "readinessProbe": {"exec": {"command": ["cat", "/ok"]}, **said},
        "startupProbe": {"grpc": {"port": 90, "service": "shop"}, **said},
    }


def test_what_kubectl_1_32_sends_to_create_a_service_is_read() -> None:
    """`kubectl create service clusterip web --tcp=80:http`, caught on its way."""
    sent = base64.b64decode(
        "azhzAAoNCgJ2MRIHU2VydmljZRJsCh8KA3dlYhIAGgAiACoAMgA4AEIAWgoKA2FwcBIDd2ViEkUKHgoHODAtaHR0"
        "cBIDVENQGFAiCggBEAAaBGh0dHAoABIKCgNhcHASA3dlYhoAIglDbHVzdGVySVA6AEIAUgBaAGAAaAAaAgoAGgAiAA=="
    )
    assert protobuf.tree_of(sent) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "ports": [{"name": "80-http", "protocol": "TCP", "port": 80, "targetPort": "http"}],
            "selector": {"app": "web"},
            "type": "ClusterIP",
        },
        "status": {"loadBalancer": {}},
    }


def test_what_go_leaves_out_of_json_is_left_out_and_what_was_set_is_kept() -> None:
    """A Go client writes every plain field, set or not, and pointers only where they are set."""
    options = protobuf.tree_of(a_body("DeleteOptions", part(1, 0) + part(3, 0) + part(4, b"")))
    assert options["gracePeriodSeconds"] == 0
    assert options["orphanDependents"] is False
    assert "propagationPolicy" not in options
    port = part(1, b"") + part(2, 0) + part(3, 80)
    pod = part(2, part(2, part(1, b"main") + part(6, port)))
    tree = protobuf.tree_of(a_body("Pod", pod))
    assert tree["spec"]["containers"] == [{"name": "main", "ports": [{"containerPort": 80}]}]


def test_numbers_below_zero_and_maps_without_a_value_are_read() -> None:
    minus_one = bytes([1 << 3]) + b"\xff" * 9 + b"\x01"
    tree = protobuf.tree_of(a_body("ReplicaSet", part(2, minus_one), "apps/v1"))
    assert tree["spec"]["replicas"] == -1
    labels = part(1, part(11, part(1, b"key")))
    assert protobuf.tree_of(a_body("Pod", labels))["metadata"]["labels"] == {"key": ""}


def test_files_of_objects_and_rights_are_read() -> None:
    item = part(1, b"k") + part(2, b"p") + part(3, 0)
    config = part(1, part(1, b"c")) + part(2, item) + part(3, 0o400)
    sources = part(1, part(3, part(1, part(1, b"c"))))
    volumes = (
        part(1, part(1, b"a") + part(2, part(19, config)))
        + part(1, part(1, b"b") + part(2, part(6, part(1, b"s"))))
        + part(1, part(1, b"d") + part(2, part(26, sources)))
    )
    rights = part(1, part(2, b"ALL")) + part(4, 0) + part(7, 0)
    container = part(2, part(1, b"main") + part(2, b"image") + part(15, rights))
    pod = part(14, part(5, 7) + part(10, part(1, b"Unconfined")))
    spec = protobuf.tree_of(a_body("Pod", part(2, volumes + container + pod)))["spec"]
    assert spec["volumes"] == [
        {
            "name": "a",
            "configMap": {
                "name": "c",
                "items": [{"key": "k", "path": "p", "mode": 0}],
                "defaultMode": 0o400,
            },
        },
        {"name": "b", "secret": {"secretName": "s"}},
        {"name": "d", "projected": {"sources": [{"configMap": {"name": "c"}}]}},
    ]
    assert spec["containers"][0]["securityContext"] == {
        "capabilities": {"drop": ["ALL"]},
        "runAsUser": 0,
        "allowPrivilegeEscalation": False,
    }
    assert spec["securityContext"] == {"fsGroup": 7, "seccompProfile": {"type": "Unconfined"}}


def test_a_target_port_is_a_number_or_a_name() -> None:
    def target(content: bytes) -> object:
        service = part(2, part(1, part(3, 80) + part(4, content)))
        return protobuf.tree_of(a_body("Service", service))["spec"]["ports"][0]["targetPort"]

    assert target(part(1, 0) + part(2, 81) + part(3, b"")) == 81
    assert target(part(1, 1) + part(2, 0) + part(3, b"http")) == "http"
    assert target(part(1, 0) + part(2, 0) + part(3, b"")) == 0


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (part(2, part(14, part(1, part(1, b"u")))), "spec.securityContext.seLinuxOptions"),
        (part(2, part(37, 1)), "spec.hostUsers"),
        (part(2, part(1, part(2, part(7, part(1, b"server"))))), "spec.volumes[0].nfs"),
        (bytes([0xFA, 0x7F, 1, 1]), "(protobuf field 2047)"),
    ],
)
def test_what_is_not_known_here_is_told_by_its_name(raw: bytes, path: str) -> None:
    tree = protobuf.tree_of(a_body("Pod", raw))
    unknown, _ = schema.check(next(one for one in KINDS if one.resource.kind == "Pod"), tree)
    assert path in unknown


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "does not begin"),
        (b"{}", "does not begin"),
        (a_body("PodTemplate", b""), "'PodTemplate' is not read from protobuf"),
        (a_body("Pod", part(1, 5)), "Pod.metadata"),
        (a_body("Pod", b"\x0a\xff"), "Pod: a protobuf varint does not end"),
        (a_body("Pod", b"\x0a\x7fabc"), "ends beyond its message"),
        (a_body("Pod", b"\x0b"), "unknown wire type 3"),
        (a_body("Pod", part(1, part(1, b"\xff"))), "not UTF-8"),
        (a_body("Pod", b"\x0a" + b"\xff" * 11), "does not end"),
        (a_body("Pod", part(1, part(8, b"\x08" + b"\xff" * 8 + b"\x7f"))), "years 1 and 9999"),
        (protobuf.MAGIC + part(3, b"gzip"), "content encoding"),
    ],
)
def test_what_is_wrong_is_told(body: bytes, told: str) -> None:
    with pytest.raises(BadRequest) as caught:
        protobuf.tree_of(body)
    assert told in str(caught.value)


def test_a_body_of_very_many_small_fields_is_refused() -> None:
    """A field can be two bytes, and cost a hundred."""
    labels = part(11, b"") * (protobuf.FIELDS_MAX + 1)
    body = protobuf.MAGIC + part(1, part(2, b"Pod")) + b"\x12" + varint(len(labels)) + labels
    with pytest.raises(BadRequest, match="more than 100000 fields"):
        protobuf.tree_of(body)


@given(st.sampled_from([one.resource.kind for one in TOLD]), st.binary(max_size=200))
def test_arbitrary_bytes_are_a_tree_or_a_bad_request(kind: str, raw: bytes) -> None:
    try:
        assert isinstance(protobuf.tree_of(a_body(kind, raw[:100])), dict)
        protobuf.tree_of(protobuf.MAGIC + raw)
    except BadRequest:
        return


@given(st.data(), st.sampled_from(TOLD))
def test_a_body_with_a_byte_changed_is_a_tree_or_a_bad_request(
    data: st.DataObject, kind: type[Object]
) -> None:
    body = bytearray(encoded(kind))
    at = data.draw(st.integers(4, len(body) - 1))
    body[at] = data.draw(st.integers(0, 255))
    try:
        assert isinstance(protobuf.tree_of(bytes(body)), dict)
    except BadRequest:
        return


def test_every_field_of_our_kinds_has_a_number() -> None:
    kinds: tuple[type[Model], ...] = (*TOLD, DeleteOptions, Binding, Scale)
    found = {one for kind in kinds for one in lacking(schema.type_of(kind), kind.__name__)}
    assert found <= LATER | TYPE_META


def lacking(kind: inspect.Type, message: str) -> Iterator[str]:
    """Yield the fields of a type, and of what is in it, that its message has not, or skips."""
    struct = struct_in(kind)
    # Our one Condition has the fields of every kind's.
    if struct is None or message not in messages() or struct.cls.__name__ == "Condition":
        return
    numbered = named(message)
    for field in struct.fields:
        told = numbered.get(field.encode_name)
        is_read = told is not None and (told.type != "-" or struct_in(field.type) is None)
        if told is not None and is_read:
            yield from lacking(field.type, told.type)
        else:
            yield f"{message}.{field.encode_name}"


def struct_in(kind: inspect.Type) -> inspect.StructType | None:
    match kind:
        case inspect.StructType():
            return kind
        case inspect.VarTupleType():
            return struct_in(kind.item_type)
        case inspect.DictType():
            return struct_in(kind.value_type)
        case inspect.UnionType():
            return next(filter(None, map(struct_in, kind.types)), None)
        case _:
            return None


def named(message: str) -> dict[str, Field]:
    """Return the fields of a message by their names, those that it takes in included."""
    found: dict[str, Field] = {}
    for one in messages()[message].values():
        found |= named(one.type) if one.is_inline else {one.name: one}
    return found
