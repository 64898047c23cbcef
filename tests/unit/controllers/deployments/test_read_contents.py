"""Restarts on change: which change of a ConfigMap or a Secret exchanges a Deployment's pods."""

import base64
from collections.abc import Mapping, Sequence

import pytest

from controllers.deployments.contents import ContentRestarts
from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.apps.revisions import READ_CONTENT
from cubernetes.api.coding import codec
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.core.secret import Secret
from cubernetes.api.meta import replaced
from cubernetes.reconcile.plan import Patch, Record, RequeueAfter, StillView, Update
from tests.carry import World
from tests.given import NOW, a_deployment, a_meta

ASKED = {"cubernetes.io/restart-on-change": "true"}
type Tree = Mapping[str, object]


def reading(*env: Tree, volumes: Sequence[Tree] = (), **container: object) -> PodSpec:
    one = {"name": "main", "image": "web:1", "env": [*env], **container}
    tree = {"metadata": {"name": "x"}, "spec": {"containers": [one], "volumes": [*volumes]}}
    return codec.from_tree(Pod, tree).model.spec


def variable(kind: str, name: str, key: str, *, is_optional: bool = False) -> Tree:
    origin = {f"{kind}KeyRef": {"name": name, "key": key, "optional": is_optional}}
    return {"name": "X", "valueFrom": origin}


def a_wish(spec: PodSpec, annotations: Mapping[str, str] = ASKED) -> Deployment:
    one = a_deployment(annotations=annotations)
    template = replaced(one.spec.template, spec=spec)
    return replaced(one, spec=replaced(one.spec, template=template))


def settings(uid: str = "", **data: str) -> ConfigMap:
    return ConfigMap(metadata=a_meta("settings", uid=uid), data=data)


def keys(uid: str = "", **data: str) -> Secret:
    values = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return Secret(metadata=a_meta("keys", uid=uid), data=values)


class Life:
    """A world with one Deployment that reads, and the planner settled on it."""

    def __init__(self, wanted: Deployment, *read: ConfigMap | Secret) -> None:
        self.world, self.planner = World([wanted, *read]), ContentRestarts()
        self.settle()

    @property
    def wanted(self) -> Deployment:
        (one,) = self.world.all(Deployment)
        return one

    @property
    def stamp(self) -> str:
        """Return what the template says of the content: empty before the first restart."""
        return self.wanted.spec.template.metadata.annotations.get(READ_CONTENT, "")

    @property
    def note(self) -> str | None:
        return self.wanted.metadata.annotations.get(READ_CONTENT)

    def settle(self) -> None:
        # A single step, after which nothing is left to do.
        self.world.settle(self.planner, 1)

    def put(self, *read: ConfigMap | Secret) -> None:
        for one in read:
            found = self.world.get(type(one), one.metadata.name, "default")
            uid = found.metadata.uid if found is not None else ""
            own = one.metadata.uid or uid
            self.world.put(replaced(one, metadata=replaced(one.metadata, uid=own)))
        self.settle()


def test_what_is_read_first_is_noted_and_restarts_nothing() -> None:
    life = Life(a_wish(reading(variable("configMap", "settings", "a"))), settings(a="1"))

    assert life.note
    assert life.stamp == ""


ITEM = {"key": "a", "path": "p"}
READS = {
    "a variable": reading(variable("configMap", "settings", "a")),
    "variables of all keys": reading(envFrom=[{"configMapRef": {"name": "settings"}}]),
    "a volume": reading(volumes=[{"name": "v", "configMap": {"name": "settings"}}]),
    "a volume's item": reading(
        volumes=[{"name": "v", "configMap": {"name": "settings", "items": [ITEM]}}]
    ),
    "a projection": reading(
        volumes=[{"name": "v", "projected": {"sources": [{"configMap": {"name": "settings"}}]}}]
    ),
}  # fmt: skip


@pytest.mark.parametrize("spec", READS.values(), ids=READS)
def test_a_new_value_of_a_key_that_is_read_restarts_the_pods_once(spec: PodSpec) -> None:
    life = Life(a_wish(spec), settings(a="1", b="1"))
    generation = life.wanted.spec

    life.put(settings(a="2", b="1"))

    assert life.stamp == life.note != ""
    assert life.wanted.spec != generation
    life.put(settings(a="1", b="1"))
    assert life.stamp == life.note


@pytest.mark.parametrize("what", ["a variable", "a volume's item"])
def test_a_key_that_nobody_reads_restarts_nothing(what: str) -> None:
    life = Life(a_wish(READS[what]), settings(a="1", b="1"))

    life.put(settings(a="1", b="2", c="3"))

    assert life.stamp == ""


def test_a_new_key_counts_where_all_keys_are_read() -> None:
    life = Life(a_wish(READS["a volume"]), settings(a="1"))

    life.put(settings(a="1", b="1"))

    assert life.stamp == life.note != ""


def test_bytes_and_texts_under_one_key_are_different_content() -> None:
    life = Life(a_wish(READS["a variable"]), settings(a="MQ=="))

    life.put(ConfigMap(metadata=a_meta("settings"), binary_data={"a": "MQ=="}))

    assert life.stamp == life.note != ""


def test_a_secret_counts_as_a_config_map_does() -> None:
    life = Life(a_wish(reading(variable("secret", "keys", "token"))), keys(token="1", other="1"))

    life.put(keys(token="1", other="2"))
    assert life.stamp == ""

    life.put(keys(token="2", other="2"))
    assert life.stamp == life.note != ""


def test_a_digest_tells_nobody_whether_two_secrets_are_the_same() -> None:
    spec = reading(variable("secret", "keys", "token"))
    one = Life(a_wish(spec), keys(uid="u1", token="1"))
    other = Life(a_wish(spec), keys(uid="u2", token="1"))

    assert one.note != other.note


def test_a_config_map_that_is_made_again_with_the_same_values_restarts_nothing() -> None:
    life = Life(a_wish(READS["a variable"]), settings(uid="u1", a="1"))

    life.put(settings(uid="u2", a="1"))

    assert life.stamp == ""


def test_nothing_is_decided_while_what_must_be_there_is_absent() -> None:
    life = Life(a_wish(READS["a variable"]), settings(a="1"))
    note = life.note

    life.world.remove(settings().ref)
    life.settle()

    assert (life.note, life.stamp) == (note, "")
    life.put(settings(a="2"))
    assert life.stamp == life.note != note


def test_what_may_be_absent_counts_by_whether_it_is() -> None:
    spec = reading(
        variable("configMap", "settings", "a"),
        {**variable("configMap", "more", "a", is_optional=True), "name": "Y"},
    )
    life = Life(a_wish(spec), settings(a="1"))
    assert life.note

    more = ConfigMap(metadata=a_meta("more"), data={"a": "1"})
    life.put(more)

    assert life.stamp == life.note


def test_a_template_that_reads_something_else_is_a_rollout_already() -> None:
    life = Life(a_wish(READS["a variable"]), settings(a="1", b="2"))
    note, wanted = life.note, life.wanted

    spec = reading(variable("configMap", "settings", "b"))
    template = replaced(wanted.spec.template, spec=spec)
    life.world.put(replaced(wanted, spec=replaced(wanted.spec, template=template)))
    life.settle()

    assert life.stamp == ""
    assert life.note not in (None, note)


def test_who_asks_no_more_is_not_restarted_and_has_no_note() -> None:
    life = Life(a_wish(READS["a variable"]), settings(a="1"))
    meta = replaced(life.wanted.metadata, annotations={READ_CONTENT: life.note or ""})
    life.world.put(replaced(life.wanted, metadata=meta))

    life.put(settings(a="2"))

    assert (life.note, life.stamp) == (None, "")


def test_who_never_asked_is_left_alone() -> None:
    life = Life(a_wish(READS["a variable"], {}), settings(a="1"))

    life.put(settings(a="2"))

    assert (life.note, life.stamp) == (None, "")


def test_a_view_that_is_older_than_the_last_restart_decides_nothing() -> None:
    life = Life(a_wish(READS["a variable"]), settings(a="1"))
    life.put(settings(a="2"))
    wanted = life.wanted

    late = StillView([wanted, settings(a="1")], as_of=int(wanted.metadata.resource_version) - 1)

    assert [type(one) for one in life.planner.plan(wanted.ref, late, NOW)] == [RequeueAfter]


def test_a_restart_is_told_on_the_deployment() -> None:
    life = Life(a_wish(READS["a variable"]), settings(a="1"))
    life.world.put(settings(uid="u", a="2"))

    done = list(life.planner.plan(life.wanted.ref, life.world.view(), NOW))

    assert [type(one) for one in done] == [Update, Record]
    assert isinstance(done[1], Record)
    assert done[1].reason == "RestartedOnChange"


def test_a_note_is_taken_as_the_deployment_was_seen() -> None:
    wanted = a_wish(READS["a variable"])
    world = World([wanted, settings(a="1")])

    (done,) = ContentRestarts().plan(wanted.ref, world.view(), NOW)

    assert isinstance(done, Patch)
    (seen,) = world.all(Deployment)
    assert done.change["metadata"]["resourceVersion"] == seen.metadata.resource_version


def test_an_object_concerns_the_deployments_that_ask_and_name_it() -> None:
    asks = a_wish(READS["a variable"])
    others = [
        replaced(a_wish(READS["a variable"], {}), metadata=a_meta("silent")),
        replaced(asks, metadata=replaced(asks.metadata, name="far", namespace="other")),
        a_deployment("reads-nothing", annotations=ASKED),
    ]
    world = World([asks, *others])

    assert ContentRestarts().keys(settings(), world.view()) == [asks.ref]
    assert ContentRestarts().keys(keys(), world.view()) == []
