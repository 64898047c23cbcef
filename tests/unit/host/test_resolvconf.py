"""resolv.conf with our server before a machine's own ones, and without it again."""

from hypothesis import given
from hypothesis import strategies as st

from cubernetes.host.names.resolvconf import parsed, with_first_server, without_first_server

OURS = "169.254.20.10"
LINES = st.sampled_from(
    [
        "nameserver 192.0.2.53",
        "nameserver  192.0.2.54 ",
        "search example.org",
        "options timeout:1",
        "# a word of the administrator",
        "",
        "; nameserver 169.254.20.10",
        "nonsense",
    ]
)


@given(st.lists(LINES), st.booleans())
def test_our_server_is_asked_first_and_all_else_is_as_it_was(lines: list[str], ends: bool) -> None:
    text = "\n".join(lines) + ("\n" if ends and lines else "")
    taken = with_first_server(text, OURS)
    before = parsed(text)
    assert parsed(taken) == before._replace(servers=(OURS, *before.servers))
    assert with_first_server(taken, OURS) == taken
    assert without_first_server(taken) == text
    assert without_first_server(text) == text


def test_our_server_is_not_added_where_somebody_else_named_it() -> None:
    text = f"nameserver 192.0.2.53\nnameserver {OURS}\n"
    assert with_first_server(text, OURS) == text
    assert without_first_server(text) == text


def test_lines_that_somebody_moved_are_found_again() -> None:
    taken = with_first_server("search example.org\n", OURS)
    moved = "nameserver 192.0.2.53\n" + taken + "options rotate\n"
    assert parsed(with_first_server(moved, OURS)).servers == (OURS, "192.0.2.53")
    assert without_first_server(moved) == (
        "nameserver 192.0.2.53\nsearch example.org\noptions rotate\n"
    )


def test_another_address_takes_the_place_of_the_one_before() -> None:
    text = "nameserver 192.0.2.53\n"
    taken = with_first_server(with_first_server(text, OURS), "169.254.20.11")
    assert parsed(taken).servers == ("169.254.20.11", "192.0.2.53")
