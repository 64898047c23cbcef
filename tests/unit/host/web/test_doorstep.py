"""Places for connections: silence keeps nobody out, and who is known stays."""

from hypothesis import given
from hypothesis import strategies as st

from cubernetes.host.web.doorstep import PATIENCE_S, Doorstep, Room

ROOM = Room(all_max=20, unknown_max=8, unknown_of_address_max=3)


def a_doorstep(room: Room = ROOM) -> Doorstep[str]:
    return Doorstep(room)


def test_an_address_pushes_out_its_own_oldest_and_nobody_elses() -> None:
    doorstep = a_doorstep()
    assert doorstep.came("other", "b", 0) is None
    gone = [doorstep.came(f"silent-{number}", "a", number * PATIENCE_S) for number in range(10)]
    assert gone == [None] * 3 + [f"silent-{number}" for number in range(7)]
    assert doorstep.unknown_count == 4


def test_who_says_quickly_who_he_is_gets_in_from_a_strangers_address() -> None:
    doorstep = a_doorstep()
    for number in range(1000):
        doorstep.came(f"before-{number}", "a", number / 1000)
    doorstep.came("kubelet", "a", 1)
    doorstep.known("kubelet")
    assert "kubelet" not in [doorstep.came(f"after-{number}", "a", 9) for number in range(1000)]


def test_many_that_come_at_once_are_given_the_time_of_a_handshake() -> None:
    """A machine whose programs all come back at the same moment is no stranger."""
    doorstep = a_doorstep(Room(all_max=1000, unknown_max=800, unknown_of_address_max=100))
    assert {doorstep.came(f"{number}", "a", 5 + number / 1000) for number in range(600)} == {None}
    assert doorstep.came("later", "a", 6 + PATIENCE_S) == "0"


def test_of_all_addresses_the_greediest_gives() -> None:
    doorstep = a_doorstep()
    for guest in ("a1", "a2", "a3", "b1", "c1", "d1", "e1", "f1"):
        assert doorstep.came(guest, guest[0], 0) is None
    assert doorstep.came("g1", "g", 0) == "a1"
    assert doorstep.unknown_count == ROOM.unknown_max


def test_over_the_limit_of_all_nobody_is_kept() -> None:
    doorstep = a_doorstep()
    for number in range(ROOM.all_max):
        doorstep.came(f"k{number}", "a", 0)
        doorstep.known(f"k{number}")
    assert doorstep.came("late", "b", 0) == "late"
    doorstep.left("k3")
    assert doorstep.came("later", "b", 0) is None


steps = st.lists(
    st.tuples(
        st.sampled_from(["came", "known", "left"]), st.integers(0, 40), st.sampled_from("abcd")
    )
)


@given(steps)
def test_limits_hold_whoever_comes_and_goes(plan: list[tuple[str, int, str]]) -> None:
    there: dict[int, tuple[str, bool]] = {}
    doorstep: Doorstep[int] = Doorstep(Room(6, 4, 2))
    for step, (what, guest, address) in enumerate(plan):
        if what == "came" and guest not in there:
            there[guest] = (address, False)
            gone = doorstep.came(guest, address, step * PATIENCE_S)
            if gone is not None:
                # Nobody who is known goes for another.
                assert not there.pop(gone)[1]
        elif what == "known" and guest in there:
            there[guest] = (there[guest][0], True)
            doorstep.known(guest)
        elif what == "left":
            there.pop(guest, None)
            doorstep.left(guest)
        unknown = [where for where, is_known in there.values() if not is_known]
        assert doorstep.count == len(there) <= 6
        assert doorstep.unknown_count == len(unknown) <= 4
        assert all(unknown.count(where) <= 2 for where in "abcd")
