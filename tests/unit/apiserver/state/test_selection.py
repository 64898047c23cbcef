"""What a change looks like to someone who sees only a part of the objects."""

from hypothesis import given
from hypothesis import strategies as st

from apiserver.state.items import Item, departed, encoded, stored, value_of
from apiserver.state.keys import key_of
from apiserver.state.selection import EventType, selection_of
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.meta import ObjectMeta

EVERYTHING = selection_of(Pod, "", "", "")
APP = selection_of(Pod, "", "app=a", "")


def an_item(name: str = "x", namespace: str = "n", app: str = "a", revision: int = 7) -> Item:
    meta = ObjectMeta(name=name, namespace=namespace, labels={"app": app})
    pod = Pod(metadata=meta, spec=PodSpec(containers=(Container(name="c", image="i"),)))
    return stored(Pod, key_of(Pod, namespace, name), encoded(pod), revision)


ITEMS = st.one_of(st.none(), st.builds(an_item, app=st.sampled_from("ab")))


@given(states=st.lists(ITEMS, min_size=1))
def test_following_verdicts_is_the_same_as_looking(states: list[Item | None]) -> None:
    """Whoever applies the events always has exactly the objects that match now."""
    held = False
    before: Item | None = None
    for now in states:
        verdict: EventType | None = APP.verdict(before, now)
        assert not (verdict == "ADDED" and held)
        assert not (verdict in ("MODIFIED", "DELETED") and not held)
        held = verdict != "DELETED" if verdict else held
        assert held == APP.matches(now)
        before = now


def test_namespaces_with_a_common_beginning_are_apart() -> None:
    inside = selection_of(Pod, "n", "", "")

    assert inside.matches(an_item(namespace="n"))
    assert not inside.matches(an_item(namespace="nn"))
    assert EVERYTHING.matches(an_item(namespace="nn"))


def test_a_required_field_is_known_only_where_it_is_certain() -> None:
    assert selection_of(Pod, "", "", "spec.nodeName=n1").required("spec.nodeName") == "n1"
    assert selection_of(Pod, "", "", "spec.nodeName!=n1").required("spec.nodeName") == ""
    assert EVERYTHING.required("spec.nodeName") == ""


@given(revision=st.integers(1, 2**62), label=st.text(max_size=20), later=st.integers(1, 2**62))
def test_a_revision_goes_into_the_bytes_and_out_again(
    revision: int, label: str, later: int
) -> None:
    meta = ObjectMeta(name="x", annotations={label: '"metadata":{'})
    pod = Pod(metadata=meta, spec=PodSpec(containers=()))
    value = encoded(pod)
    item = stored(Pod, "/k", value, revision)

    assert value_of(item) == value
    assert item.object.metadata.resource_version == str(revision)
    assert codec.decode(Pod, item.content) == item.object
    gone = departed(item, later)
    assert gone.object.metadata.resource_version == str(later)
    assert value_of(gone) == value
