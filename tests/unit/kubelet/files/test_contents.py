"""Which files a volume has, by the objects and the pod that it is made from."""

from typing import Any

import msgspec
import pytest

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Resources
from cubernetes.api.core.podspec.envsource import ResourceFieldSelector
from cubernetes.api.core.podspec.references import Named, named_by, named_in_volumes
from cubernetes.api.core.podspec.volumes.volume import DownwardFile, DownwardVolume, Volume
from cubernetes.api.core.secret import Secret
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.api.quantities import Quantity
from kubelet.files.contents import Content, File, Missing, files_of, mark_of, quoted
from kubelet.pod.volumes import VolumeTrouble, files_by_volume
from tests.given import a_container, a_pod

LABELS = {"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}
SETTINGS, LOGIN = Named("ConfigMap", "settings"), Named("Secret", "login")


def meta(name: str, version: str = "1") -> ObjectMeta:
    return ObjectMeta(name=name, namespace="default", resource_version=version)


CONFIG = ConfigMap(metadata=meta("settings"), data={"a": "é", "b": ""}, binary_data={"z": "AP8="})
SECRET = Secret(metadata=meta("login"), data={"password": "aHVudGVyMg=="})
CONTENT = Content({SETTINGS: CONFIG, LOGIN: SECRET})


def a_pod_of(*volumes: dict[str, Any]) -> Pod:
    pod = a_pod("web-0")
    read = tuple(
        msgspec.convert({"name": f"v{at}", **one}, Volume) for at, one in enumerate(volumes)
    )
    labelled = replaced(pod.metadata, labels={"b": "2", "a": 'x"y'}, annotations={"n": "1\n2"})
    return replaced(pod, metadata=labelled, spec=replaced(pod.spec, volumes=read))


def files(source: dict[str, Any], content: Content = CONTENT) -> dict[str, File]:
    pod = a_pod_of(source)
    return dict(files_of(pod, pod.spec.volumes[0], content))


def test_every_key_is_a_file_with_its_bytes_and_the_default_mode() -> None:
    assert files({"configMap": {"name": "settings"}}) == {
        "a": File("é".encode(), 0o644),
        "b": File(b"", 0o644),
        "z": File(b"\x00\xff", 0o644),
    }
    secret = {"secret": {"secretName": "login", "defaultMode": 0o400}}
    assert files(secret) == {"password": File(b"hunter2", 0o400)}


def test_items_choose_keys_paths_and_modes() -> None:
    items = [{"key": "a", "path": "etc//x/./a.conf"}, {"key": "z", "path": "z", "mode": 0o600}]
    assert files({"configMap": {"name": "settings", "items": items, "defaultMode": 0}}) == {
        "etc/x/a.conf": File("é".encode(), 0),
        "z": File(b"\x00\xff", 0o600),
    }


@pytest.mark.parametrize(
    ("source", "content", "reason"),
    [
        ({"configMap": {"name": "settings"}}, Content(), 'configmap "settings" not found'),
        ({"secret": {"secretName": "login"}}, Content(), 'secret "login" not found'),
        (
            {"secret": {"secretName": "login", "items": [{"key": "x", "path": "x"}]}},
            CONTENT,
            'secret "login" has no key "x"',
        ),
        (
            {
                "projected": {
                    "sources": [{"configMap": {"name": "no"}}, {"secret": {"name": "none"}}]
                }
            },
            CONTENT,
            'configmap "no" not found; secret "none" not found',
        ),
        (
            {
                "configMap": {
                    "name": "settings",
                    "items": [{"key": "a", "path": "x"}, {"key": "b", "path": "x/y"}],
                }
            },
            CONTENT,
            "x is wanted as a file, and as a folder for x/y",
        ),
    ],
)
def test_what_is_required_and_missing_is_told_by_its_name_and_without_a_value(
    source: dict[str, Any], content: Content, reason: str
) -> None:
    with pytest.raises(Missing) as told:
        files(source, content)
    assert str(told.value) == reason
    with pytest.raises(VolumeTrouble, match="volume v0: "):
        files_by_volume(a_pod_of(source), content)


def test_what_is_optional_may_be_missing() -> None:
    assert files({"configMap": {"name": "settings", "optional": True}}, Content()) == {}
    items = [{"key": "x", "path": "x"}, {"key": "b", "path": "b"}]
    source = {"configMap": {"name": "settings", "optional": True, "items": items}}
    assert files(source) == {"b": File(b"", 0o644)}
    projection = {"secret": {"name": "no", "optional": True}}
    assert files({"projected": {"sources": [projection]}}) == {}


def test_a_secret_volume_and_its_keys_may_be_optional() -> None:
    assert files({"secret": {"secretName": "no", "optional": True}}) == {}
    items = [{"key": "x", "path": "x"}]
    assert files({"secret": {"secretName": "login", "optional": True, "items": items}}) == {}


def test_keys_of_a_projected_configmap_are_chosen_and_may_be_optional() -> None:
    items = [{"key": "b", "path": "c"}, {"key": "x", "path": "x"}]
    config = {"name": "settings", "items": items}
    with pytest.raises(Missing, match='configmap "settings" has no key "x"'):
        files({"projected": {"sources": [{"configMap": config}]}})
    source = {"configMap": {**config, "optional": True}}
    assert files({"projected": {"sources": [source]}}) == {"c": File(b"", 0o644)}


def test_fields_of_the_pod_are_files() -> None:
    paths = ["metadata.name", "metadata.labels", "metadata.annotations", "metadata.labels['b']"]
    items: list[dict[str, Any]] = [
        {"path": f"f{at}", "fieldRef": {"fieldPath": path}} for at, path in enumerate(paths)
    ]
    items[0]["mode"] = 0o400
    assert files({"downwardAPI": {"items": items}}) == {
        "f0": File(b"web-0", 0o400),
        "f1": File(b'a="x\\"y"\nb="2"', 0o644),
        "f2": File(b'n="1\\n2"', 0o644),
        "f3": File(b"2", 0o644),
    }


def amount(path: str, name: str, resource: str, divisor: str = "1") -> DownwardFile:
    ref = ResourceFieldSelector(container_name=name, resource=resource, divisor=Quantity(divisor))
    return DownwardFile(path=path, resource_field_ref=ref)


def a_pod_with_amounts(*items: DownwardFile) -> Pod:
    amounts = {"cpu": Quantity("250m"), "memory": Quantity("64Mi")}
    own = replaced(a_container("own"), resources=Resources(limits=amounts))
    volume = Volume(name="v0", downward_api=DownwardVolume(items=items))
    pod = a_pod(containers=(a_container("free"), own))
    return replaced(pod, spec=replaced(pod.spec, volumes=(volume,)))


def test_amounts_of_containers_are_files() -> None:
    pod = a_pod_with_amounts(
        amount("cpu", "own", "limits.cpu", "1m"),
        amount("cpus", "own", "requests.cpu"),
        amount("memory", "own", "limits.memory", "1Mi"),
        # What has no limit may take what the node has for pods.
        amount("most", "free", "limits.cpu"),
        amount("least", "free", "requests.memory"),
    )
    content = Content(allocatable={"cpu": 3500, "memory": 8 << 30})
    found = files_of(pod, pod.spec.volumes[0], content)
    told = {path: file.content.decode() for path, file in found.items()}
    assert told == {"cpu": "250", "cpus": "1", "memory": "64", "most": "4", "least": "0"}


def test_amounts_of_a_container_that_is_not_there_are_missing() -> None:
    pod = a_pod_with_amounts(amount("cpu", "nobody", "limits.cpu"))
    with pytest.raises(Missing, match="container nobody not found"):
        files_of(pod, pod.spec.volumes[0], Content())


def test_the_mark_differs_where_the_node_has_another_amount_for_pods_that_tell_it() -> None:
    telling = a_pod_with_amounts(amount("most", "free", "limits.cpu"))
    silent = a_pod_of({"downwardAPI": {"items": [LABELS]}})
    one, other = Content(allocatable={"cpu": 1000}), Content(allocatable={"cpu": 2000})
    assert mark_of(telling, one) != mark_of(telling, other)
    assert mark_of(silent, one) == mark_of(silent, other)


@pytest.mark.parametrize(
    ("text", "written"),
    [("", '""'), ("é ✓", '"é ✓"'), ("\x00\x7f", '"\\x00\\x7f"'), ("\u200b", '"\\u200b"')],
)
def test_text_is_quoted_as_go_quotes_it(text: str, written: str) -> None:
    assert quoted(text) == written


def test_a_later_source_wins_a_path_and_has_the_common_mode() -> None:
    sources = [
        {"configMap": {"name": "settings"}},
        {"secret": {"name": "login", "items": [{"key": "password", "path": "a"}]}},
        {"downwardAPI": {"items": [{"path": "b", "fieldRef": {"fieldPath": "metadata.uid"}}]}},
    ]
    found = files({"projected": {"sources": sources, "defaultMode": 0o440}})
    assert found["a"] == File(b"hunter2", 0o440)
    assert (found["b"].content, sorted(found)) == (
        a_pod("web-0").metadata.uid.encode(),
        list("abz"),
    )


def test_a_secret_is_not_told_by_what_holds_it() -> None:
    assert "hunter2" not in repr(files({"secret": {"secretName": "login"}}))


def test_a_volume_whose_objects_are_not_known_yet_keeps_what_it_has() -> None:
    pod = a_pod_of({"configMap": {"name": "settings"}}, {"secret": {"secretName": "login"}})
    content = Content({LOGIN: SECRET}, frozenset({SETTINGS}))
    found = files_by_volume(pod, content)
    assert found == {"v0": None, "v1": {"password": File(b"hunter2", 0o644)}}
    assert mark_of(pod, content) is None


def test_the_mark_differs_where_files_may() -> None:
    pod = a_pod_of({"configMap": {"name": "settings"}})
    relabelled = replaced(pod, metadata=replaced(pod.metadata, labels={}))
    changed = Content({SETTINGS: replaced(CONFIG, metadata=meta("settings", "2"))})
    content = Content({SETTINGS: CONFIG})
    assert mark_of(pod, content) != mark_of(pod, changed)
    assert mark_of(pod, content) != mark_of(pod, Content())
    assert mark_of(pod, content) == mark_of(relabelled, content)
    about = a_pod_of({"downwardAPI": {"items": [LABELS]}})
    moved = replaced(about, metadata=replaced(about.metadata, labels={}))
    assert mark_of(about, Content()) != mark_of(moved, Content())
    assert mark_of(a_pod_of({"emptyDir": {}}), Content()) == ()


def test_a_node_may_read_what_the_volumes_of_its_pods_name_and_no_more() -> None:
    sources = [{"configMap": {"name": "c"}}, {"secret": {"name": "s"}}, {"downwardAPI": {}}]
    pod = a_pod_of(
        {"configMap": {"name": "settings"}},
        {"secret": {"secretName": "login"}},
        {"projected": {"sources": sources}},
        {"emptyDir": {}},
    )
    named = {SETTINGS, LOGIN, Named("ConfigMap", "c"), Named("Secret", "s")}
    assert named_in_volumes(pod.spec) == named_by(pod.spec) == named
