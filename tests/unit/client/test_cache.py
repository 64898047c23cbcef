"""A cache answers every question as a plain search would, whatever its history."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import OwnerReference
from cubernetes.api.selectors import parse
from cubernetes.client.cache import Cache, Key, key_of
from cubernetes.reconcile.plan import StillView
from tests.given import a_meta, a_pod, a_replicaset

OWNERS = tuple(a_replicaset(name) for name in ("one", "two"))
SELECTORS = ("", "app=web", "app=web,tier=front", "app in (web,db)", "tier", "!tier", "app!=db")


@st.composite
def pods(draw: st.DrawFn) -> Pod:
    return a_pod(
        draw(st.sampled_from(("a", "b", "c"))),
        draw(st.sampled_from(("default", "other", "default-2"))),
        node=draw(st.sampled_from(("", "n1", "n2"))),
        owner=draw(st.sampled_from((None, *OWNERS))),
        labels=draw(
            st.dictionaries(st.sampled_from(("app", "tier")), st.sampled_from(("web", "db")))
        ),
        revision=draw(st.integers(1, 5)),
    )


steps = st.lists(st.tuples(st.booleans(), pods()), max_size=25)


def cache_after(history: Sequence[tuple[bool, Pod]]) -> tuple[Cache[Pod], dict[Key, Pod]]:
    cache: Cache[Pod] = Cache()
    model: dict[Key, Pod] = {}
    for is_put, pod in history:
        if is_put:
            assert cache.put(pod) == model.get(key_of(pod))
            model[key_of(pod)] = pod
        else:
            assert cache.remove(key_of(pod)) == model.pop(key_of(pod), None)
    return cache, model


@given(history=steps)
def test_every_question_has_the_answer_of_a_plain_search(history: list[tuple[bool, Pod]]) -> None:
    cache, model = cache_after(history)
    plain = StillView(tuple(model.values()))

    assert len(cache) == len(model)
    for namespace in ("", "default", "other", "default-2", "none"):
        for text in SELECTORS:
            selector = parse(text)
            assert cache.list(namespace, selector) == plain.list(Pod, namespace, selector)
    for owner in OWNERS:
        assert cache.owned(owner.metadata.uid) == plain.owned(Pod, owner.metadata.uid)
    for node in ("n1", "n2"):
        assert cache.on_node(node) == plain.on_node(Pod, node)
    assert cache.by_label("app", "web") == plain.list(Pod, "", parse("app=web"))


@given(history=steps, listed=st.lists(pods(), max_size=8))
def test_a_new_list_tells_exactly_what_differs(
    history: list[tuple[bool, Pod]], listed: list[Pod]
) -> None:
    cache, model = cache_after(history)
    wanted = {key_of(pod): pod for pod in listed}

    pairs = cache.replace(wanted.values(), 9)

    told = {key_of(one): (old, new) for old, new in pairs if (one := new or old) is not None}
    assert list(told) == sorted(told)
    for key in model.keys() | wanted.keys():
        old, new = model.get(key), wanted.get(key)
        stayed = None not in (old, new) and _revision(old) == _revision(new)
        assert (key in told) != stayed
        assert stayed or told[key] == (old, new)
    assert cache.revision == 9


def _revision(pod: Pod | None) -> str:
    return pod.metadata.resource_version if pod is not None else ""


def test_an_object_with_two_owners_is_found_by_both() -> None:
    owners = [
        OwnerReference(api_version="v1", kind="Pod", name=name, uid=name) for name in ("a", "b")
    ]
    pod = a_pod("x")
    shared = Pod(metadata=a_meta("x", owners=owners), spec=pod.spec)
    cache: Cache[Pod] = Cache()
    cache.put(shared)

    assert cache.owned("a") == cache.owned("b") == [shared]

    cache.remove(key_of(shared))

    assert cache.owned("a") == []
