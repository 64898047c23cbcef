"""Who has which device: given whole or not at all, to nobody twice, and never lost."""

from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import given as tried_on
from hypothesis import strategies as st

from cubernetes.api.core.podspec.container import Container, Resources
from cubernetes.api.core.podspec.requests import requested
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.meta import replaced
from cubernetes.api.quantities import Quantity
from kubelet.devices import book as books
from kubelet.devices.book import Book, NotEnough, Offer, Owner, Shelf, Stock
from kubelet.devices.driver import Device, Discovery
from tests.given import a_container

GPU = "cubernetes.io/fake-gpu"
SHARED = f"{GPU}.shared"


def asking(name: str, count: int, resource: str = GPU, *, is_sidecar: bool = False) -> Container:
    one = replaced(a_container(name), restart_policy="Always" if is_sidecar else None)
    return replaced(one, resources=Resources(limits={resource: Quantity(str(count))}))


def a_spec(*mains: Container, inits: Sequence[Container] = ()) -> PodSpec:
    return PodSpec(containers=mains, init_containers=tuple(inits))


def a_stock(*ids: str, ill: str = "", shares: int = 0) -> Stock:
    devices = [Device(one, "is ill" if one == ill else "") for one in ids]
    return books.stock_of({GPU: Discovery(devices)}, {GPU: shares} if shares else {})


def served(book: Book, uid: str, spec: PodSpec, stock: Stock) -> Book:
    return books.given(book, uid, books.needs_of(spec, (GPU, SHARED)), stock)


def ids_of(book: Book, uid: str, container: str = "main", resource: str = GPU) -> tuple[str, ...]:
    return book.held.get(Owner(uid, container), {}).get(resource, ())


def test_two_pods_have_different_devices_and_a_third_is_told_in_kubernetes_words() -> None:
    stock, one = a_stock("a", "b"), a_spec(asking("main", 1))
    book = served(served(Book(), "p1", one, stock), "p2", one, stock)
    assert (ids_of(book, "p1"), ids_of(book, "p2")) == (("a",), ("b",))
    with pytest.raises(NotEnough) as refused:
        served(book, "p3", one, stock)
    assert str(refused.value) == (
        "Allocate failed due to requested number of devices unavailable for "
        "cubernetes.io/fake-gpu. Requested: 1, Available: 0, which is unexpected"
    )
    # Its pod is over: what it had is the next one's.
    assert ids_of(served(books.kept(book, {"p2"}), "p3", one, stock), "p3") == ("a",)


def test_a_pod_gets_all_that_it_asks_for_or_nothing() -> None:
    stock = a_stock("a", "b", "c")
    with pytest.raises(NotEnough):
        served(Book(), "p1", a_spec(asking("x", 2), asking("y", 2)), stock)
    book = served(Book(), "p1", a_spec(asking("x", 2), asking("y", 1)), stock)
    assert (ids_of(book, "p1", "x"), ids_of(book, "p1", "y")) == (("a", "b"), ("c",))


def test_what_an_init_container_had_is_given_to_a_later_one_and_a_sidecars_is_not() -> None:
    spec = a_spec(
        asking("main", 2), inits=[asking("side", 1, is_sidecar=True), asking("prepare", 2)]
    )
    book = served(Book(), "p1", spec, a_stock("a", "b", "c"))
    assert ids_of(book, "p1", "side") == ("a",)
    assert ids_of(book, "p1", "prepare") == ids_of(book, "p1") == ("b", "c")


def test_a_sick_device_is_given_to_nobody_and_taken_back_from_what_does_not_run() -> None:
    one = a_spec(asking("main", 1))
    assert ids_of(served(Book(), "p1", one, a_stock("a", "b", ill="a")), "p1") == ("b",)
    before, ill = served(Book(), "p1", one, a_stock("a", "b")), a_stock("a", "b", ill="a")
    running = books.renewed(before, ill, "p1", {"main"})
    assert ids_of(served(running, "p1", one, ill), "p1") == ("a",)
    ended = books.renewed(before, ill, "p1", ())
    assert ids_of(served(ended, "p1", one, ill), "p1") == ("b",)


def test_shares_go_to_the_least_used_device_and_never_to_one_that_somebody_has_as_a_whole() -> None:
    stock, one = a_stock("a", "b", shares=2), a_spec(asking("main", 1, SHARED))
    assert list(stock) == [SHARED]
    book = Book()
    for uid in ("p1", "p2", "p3"):
        book = served(book, uid, one, stock)
    given = [ids_of(book, uid, resource=SHARED) for uid in ("p1", "p2", "p3")]
    assert given == [("a::0",), ("b::0",), ("a::1",)]

    whole = served(Book(), "old", a_spec(asking("main", 1)), a_stock("a", "b"))
    assert ids_of(served(whole, "p1", one, stock), "p1", resource=SHARED) == ("b::0",)
    with pytest.raises(NotEnough):
        served(book, "p4", a_spec(asking("main", 1)), a_stock("a", "b"))


def test_what_runs_is_believed_where_the_record_knows_nothing_of_it() -> None:
    stock, one = a_stock("a", "b"), a_spec(asking("main", 1))
    label = books.text_of({GPU: ("a",), "x.io/n": ("0", "1")})
    assert label == "cubernetes.io/fake-gpu=a x.io/n=0,1"
    found = {Owner("p1", "main"): books.held_in(label), Owner("p9", "main"): books.held_in("?")}
    book = served(books.adopted(Book(), found), "p2", one, stock)
    assert (ids_of(book, "p1"), ids_of(book, "p2")) == (("a",), ("b",))


def test_a_resource_that_was_offered_once_is_offered_as_none_when_it_is_gone() -> None:
    ill = Shelf(a_stock("a", "b", ill="a"), Book())
    assert books.offers_of(ill) == {GPU: Offer(2, 1)}
    assert books.offers_of(Shelf({}, Book())) == {}
    assert books.offers_of(Shelf({}, Book(offered=frozenset({GPU})))) == {GPU: Offer(0, 0)}


def test_what_is_available_counts_what_others_have_and_are_still_to_get() -> None:
    stock, one = a_stock("a", "b", "c", ill="a"), a_spec(asking("main", 1))
    shelf = Shelf(stock, served(Book(), "p1", one, stock))
    assert shelf.available(GPU, {}) == 2
    assert shelf.available(GPU, {"p1": 1}) == 1
    assert shelf.available(GPU, {"p1": 1, "p2": 1}) == 0
    assert shelf.available(GPU, {"p1": 1, "p2": 9}) == 0


def test_a_record_that_is_none_is_refused() -> None:
    for content in (b"", b"{}", b'{"held": [["p1", "main"]], "offered": []}', b"\xff"):
        with pytest.raises(books.CheckpointInvalid):
            books.from_checkpoint(content)


counts = st.integers(0, 3)
specs = st.builds(
    lambda inits, mains: a_spec(
        *(asking(f"m{at}", count) for at, count in enumerate(mains)),
        inits=[asking(f"i{at}", n, is_sidecar=lasts) for at, (n, lasts) in enumerate(inits)],
    ),
    st.lists(st.tuples(counts, st.booleans()), max_size=3),
    st.lists(counts, min_size=1, max_size=3),
)


@tried_on(st.lists(specs, min_size=1, max_size=5), st.integers(0, 8))
def test_no_device_is_ever_given_twice_and_no_pod_gets_more_than_the_scheduler_counts(
    wanted: list[PodSpec], count: int
) -> None:
    stock = a_stock(*(str(at) for at in range(count)))
    book, inside = Book(), dict[str, PodSpec]()
    for index, spec in enumerate(wanted):
        uid = f"p{index}"
        others = {one: requested(inside[one]).get(GPU, 0) for one in inside}
        fits = requested(spec).get(GPU, 0) <= Shelf(stock, book).available(GPU, others)
        try:
            book = served(book, uid, spec, stock)
        except NotEnough:
            # What the gate lets in is given its devices.
            assert not fits
            continue
        assert fits
        inside[uid] = spec
        assert books.from_checkpoint(books.checkpoint(book)) == book
        assert served(book, uid, spec, stock) == book
    held = {
        uid: {one for owner, what in book.held.items() if owner[0] == uid for one in what[GPU]}
        for uid in inside
    }
    assert not any(held[one] & held[two] for one, two in combinations(held, 2))
    for uid, spec in inside.items():
        assert len(held[uid]) == requested(spec).get(GPU, 0)
        # Containers that run at the same time have none in common.
        mains = [ids_of(book, uid, one.name) for one in spec.containers]
        mains += [ids_of(book, uid, one.name) for one in spec.init_containers if one.restart_policy]
        assert len({one for ids in mains for one in ids}) == sum(map(len, mains))
