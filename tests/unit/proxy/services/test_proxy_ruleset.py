"""From what is to what should be: the text between two rule sets, carried out on paper."""

from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.core.service import ServicePort
from cubernetes.api.discovery.endpointslice import EndpointPort
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.host.packetfilter.ruleset import (
    BUILT_IN,
    Chain,
    FoundRules,
    Owner,
    Rule,
    RuleSet,
    UnsafeWord,
    found_in,
    line_of,
    restore_text,
)
from proxy.services.compile import OWNER, rules_for
from tests.given import a_service, a_slice, an_endpoint
from tests.papernet import PaperNet, Refused
from tests.unit.proxy.services.clusters import FACTS, World, worlds

FOREIGN = """\
*nat
:DOCKER - [0:0]
:CUBE-HOSTPORTS - [0:0]
-A PREROUTING -j CUBE-HOSTPORTS
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -i docker0 -j RETURN
COMMIT
*filter
:CUBE - [0:0]
-A FORWARD -j DROP
COMMIT
"""

CHAINS = st.sampled_from([f"CUBE-SVC-{letter}" for letter in "ABCD"])


@st.composite
def rulesets(draw: st.DrawFn) -> RuleSet:
    """Any chains of ours, long ones among them, that jump only to one another."""
    names = sorted(draw(st.sets(CHAINS)))
    rules: st.SearchStrategy[Rule] = st.builds(
        lambda port, target: ("-p", "tcp", "-m", "tcp", "--dport", str(port), "-j", target),
        st.integers(1, 200),
        st.sampled_from(["RETURN", *names]),
    )
    chains = {
        Chain("nat", name): tuple(draw(st.lists(rules, max_size=draw(st.sampled_from([3, 60])))))
        for name in names
    }
    jumps = {}
    if names:
        targets = draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
        if targets:
            jumps[Chain("nat", "OUTPUT")] = tuple(("-j", name) for name in targets)
    return RuleSet(chains, jumps)


def on_paper(*rules: RuleSet, foreign: str = "") -> PaperNet:
    net = PaperNet()
    net.restore(foreign)
    for wanted in rules:
        net.restore(restore_text(found_in(net.save(), OWNER), wanted))
    return net


def strangers(net: PaperNet) -> list[str]:
    """Return every line of a save that is not ours."""
    ours = ("CUBE-SVC-", "CUBE-SEP-", *sorted(OWNER.names))
    return [line for line in net.save().splitlines() if not any(word in line for word in ours)]


@given(rulesets())
def test_what_is_written_is_what_is_read_back(rules: RuleSet) -> None:
    assert found_in(on_paper(rules).save(), OWNER) == FoundRules(rules)


@given(rulesets(), rulesets())
def test_the_text_between_two_sets_leads_from_one_to_the_other(old: RuleSet, new: RuleSet) -> None:
    net = on_paper(old)
    net.restore(restore_text(FoundRules(old), new))

    assert found_in(net.save(), OWNER) == FoundRules(new)
    assert restore_text(FoundRules(new), new) == ""


@given(worlds(), worlds())
def test_one_cluster_becomes_another_beside_foreign_rules(old: World, new: World) -> None:
    net = on_paper(rules_for(*old, FACTS), foreign=FOREIGN)
    before = strangers(net)
    wanted = rules_for(*new, FACTS)

    net.restore(restore_text(found_in(net.save(), OWNER), wanted))

    assert found_in(net.save(), OWNER) == FoundRules(wanted)
    assert strangers(net) == before


@given(worlds(), worlds(), st.integers(0, 1))
def test_w25_a_cut_between_two_tables_leaves_a_state_that_the_next_run_completes(
    old: World, new: World, tables_limit: int
) -> None:
    net = on_paper(rules_for(*old, FACTS))
    wanted = rules_for(*new, FACTS)
    text = restore_text(found_in(net.save(), OWNER), wanted)

    net.restore(text, tables_limit=tables_limit)
    net.restore(restore_text(found_in(net.save(), OWNER), wanted))

    assert found_in(net.save(), OWNER) == FoundRules(wanted)


@given(worlds(), worlds())
def test_w25_a_change_of_services_is_one_transaction_in_one_table(old: World, new: World) -> None:
    text = restore_text(FoundRules(rules_for(*old, FACTS)), rules_for(*new, FACTS))

    assert text.count("COMMIT") <= 1
    assert "*filter" not in text


NUMBERS = st.integers(1, 99)


@given(
    st.lists(NUMBERS, min_size=40, max_size=60)
    | st.lists(NUMBERS, min_size=40, max_size=60, unique=True),
    st.data(),
)
def test_a_few_edits_of_a_long_chain_are_carried_out_exactly(
    ports: list[int], data: st.DataObject
) -> None:
    """Also where a rule stands in it twice, which a change by text could mistake."""
    edited = list(ports)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(edited) - 1))
        match data.draw(st.sampled_from(["beside its twin", "anywhere", "gone"])):
            case "beside its twin":
                edited.insert(at, edited[at])
            case "anywhere":
                edited.insert(at, data.draw(NUMBERS))
            case _:
                del edited[at]
    old, new = (
        RuleSet({Chain("nat", "CUBE-SERVICES"): tuple(a_rule(port) for port in listed)})
        for listed in (ports, edited)
    )
    net = on_paper(old)

    net.restore(restore_text(FoundRules(old), new))

    assert found_in(net.save(), OWNER) == FoundRules(new)


def a_rule(port: int) -> Rule:
    return ("-p", "tcp", "-m", "tcp", "--dport", str(port), "-j", "RETURN")


def test_only_the_chains_that_changed_are_touched() -> None:
    services = [a_service("a", cluster_ip="10.96.0.1"), a_service("b", cluster_ip="10.96.0.2")]
    stays = a_slice("a-1", service="a", addresses=["10.244.1.2"])
    old = rules_for(services, [stays, a_slice("b-1", service="b", addresses=["10.244.1.3"])], FACTS)
    new = rules_for(services, [stays, a_slice("b-1", service="b", addresses=["10.244.1.4"])], FACTS)

    lines = restore_text(FoundRules(old), new).splitlines()

    # The service's chain, its new endpoint's and its old one's; not the chain of all services.
    assert [line[:9] for line in lines if line.startswith(":")] == [
        ":CUBE-SEP",
        ":CUBE-SVC",
        ":CUBE-SEP",
    ]
    assert lines[-2].startswith("-X CUBE-SEP-")


def test_a_service_more_among_many_is_one_rule_more() -> None:
    services = [a_service(f"s{n}", cluster_ip=f"10.96.1.{n + 1}") for n in range(200)]
    slices = [a_slice(f"s{n}-1", service=f"s{n}", addresses=["10.244.1.2"]) for n in range(200)]
    old = rules_for(services[:100] + services[101:], slices, FACTS)
    new = rules_for(services, slices, FACTS)

    text = restore_text(FoundRules(old), new)

    assert len(text.splitlines()) == 9
    net = on_paper(old)
    net.restore(text)
    assert found_in(net.save(), OWNER) == FoundRules(new)


def test_a_long_chain_that_somebody_edited_makes_the_transaction_fail_whole() -> None:
    rules = tuple(a_rule(port) for port in range(1, 99))
    place = Chain("nat", "CUBE-SERVICES")
    old, new = RuleSet({place: rules}), RuleSet({place: rules[:50] + rules[51:]})
    net = on_paper(old)
    net.tables["nat"]["CUBE-SERVICES"].clear()

    with pytest.raises(Refused):
        net.restore(restore_text(FoundRules(old), new))


class Asked(Mapping[Chain, tuple[Rule, ...]]):
    """Chains that count how often one of them is looked at."""

    def __init__(self, chains: Mapping[Chain, tuple[Rule, ...]]) -> None:
        self._chains, self.count = chains, 0

    def __getitem__(self, place: Chain) -> tuple[Rule, ...]:
        self.count += 1
        return self._chains[place]

    def __iter__(self) -> Iterator[Chain]:
        for place in self._chains:
            self.count += 1
            yield place

    def __len__(self) -> int:
        return len(self._chains)


def test_a_change_looks_through_the_chains_once_whatever_the_number_of_tables() -> None:
    old = {
        Chain(table, f"CUBE-SVC-{number}"): (("-j", "ACCEPT"),)
        for table in ("filter", "mangle", "nat")
        for number in range(100)
    }
    asked = Asked(old)
    new = old | {Chain("nat", "CUBE-SVC-7"): (("-j", "DROP"),)}

    assert "CUBE-SVC-7" in restore_text(FoundRules(RuleSet(asked)), RuleSet(new))
    # Which differ, which are gone. A look at all of them for every table was a third of a turn.
    assert asked.count < 2 * len(old) + 10


def test_jumps_stand_before_foreign_rules_once_and_beside_our_other_programs() -> None:
    wanted = rules_for([], [], FACTS)
    net = on_paper(wanted, wanted, foreign=FOREIGN)

    assert net.tables["nat"]["PREROUTING"] == [
        "-j CUBE-SERVICES",
        "-j CUBE-HOSTPORTS",
        "-m addrtype --dst-type LOCAL -j DOCKER",
    ]
    assert net.tables["filter"]["FORWARD"] == ["-j CUBE-REJECT", "-j CUBE-FORWARD", "-j DROP"]


@pytest.mark.parametrize("mischief", ["behind", "twice", "gone", "swapped"])
def test_a_jump_that_somebody_moved_is_put_back(mischief: str) -> None:
    wanted = rules_for([], [], FACTS)
    net = on_paper(wanted, foreign=FOREIGN)
    right = net.save()
    forward = net.tables["filter"]["FORWARD"]
    match mischief:
        case "behind":
            forward.insert(0, forward.pop())
        case "twice":
            forward.append("-j CUBE-REJECT")
        case "gone":
            forward.remove("-j CUBE-FORWARD")
        case _:
            forward[0], forward[1] = forward[1], forward[0]

    net.restore(restore_text(found_in(net.save(), OWNER), wanted))

    assert net.save() == right


def test_two_programs_at_the_front_do_not_push_each_other_for_ever() -> None:
    other = Owner(frozenset({"CUBE-HOSTPORTS"}))
    theirs = RuleSet(
        {Chain("nat", "CUBE-HOSTPORTS"): ()},
        {Chain("nat", "PREROUTING"): (("-j", "CUBE-HOSTPORTS"),)},
    )
    ours = rules_for([], [], FACTS)
    net = on_paper(ours)
    net.restore(restore_text(found_in(net.save(), other), theirs))

    assert restore_text(found_in(net.save(), OWNER), ours) == ""
    assert restore_text(found_in(net.save(), other), theirs) == ""


@given(worlds())
def test_reset_leaves_what_was_there_before(world: World) -> None:
    net = on_paper(foreign=FOREIGN)
    before = net.save()

    net.restore(restore_text(found_in(net.save(), OWNER), rules_for(*world, FACTS)))
    net.restore(restore_text(found_in(net.save(), OWNER), RuleSet()))

    assert net.save() == before


@given(st.text(min_size=1))
def test_no_word_can_begin_another_rule(word: str) -> None:
    """Whatever the word: it stands in one line, as itself, or it is refused."""
    try:
        line = line_of(("-m", "comment", "--comment", word, "-j", "ACCEPT"))
    except UnsafeWord:
        return
    assert line.isascii()
    assert line.isprintable()
    assert line.replace('"', "").split() == ["-m", "comment", "--comment", word, "-j", "ACCEPT"]


NASTY = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            'a"\n-I INPUT -p tcp --dport 2379 -j ACCEPT\n#',
            "a\r\nCOMMIT\n*filter",
            "$(reboot)",
            "é",
            "\ud800",
        ]
    ),
)


@given(NASTY, NASTY, NASTY, NASTY, NASTY)
def test_t30_nothing_that_a_stranger_wrote_reaches_the_text(
    name: str, namespace: str, port_name: str, address: str, cluster_ip: str
) -> None:
    """Objects that no API server would let through: the text still holds only our own words."""
    port = ServicePort(port=80, name=port_name)
    for ip in ("10.96.0.10", cluster_ip):
        service = replaced(
            a_service(ports=[port], cluster_ip=ip),
            metadata=ObjectMeta(name=name, namespace=namespace),
        )
        pods = a_slice(
            namespace=namespace,
            service=name,
            endpoints=[an_endpoint(address), an_endpoint("10.244.1.2")],
            ports=[EndpointPort(name=port_name, port=8080)],
        )
        text = restore_text(FoundRules(), rules_for([service], [pods], FACTS))

        net = PaperNet()
        net.restore(text)
        added = {table: set(chains) - BUILT_IN for table, chains in net.tables.items()}
        assert all(OWNER.owns(chain) for chains in added.values() for chain in chains)
        assert text.count("INPUT") == text.count("-I INPUT -j CUBE-REJECT\n") == 1
        assert text.isascii()


@pytest.mark.parametrize("chain", ["CUBE-SVC-\nX", "", "CUBE SVC", "CUBE-SVC-" + "A" * 30, '"'])
def test_a_chain_name_that_iptables_would_misread_is_refused(chain: str) -> None:
    with pytest.raises(UnsafeWord):
        restore_text(FoundRules(), RuleSet({Chain("nat", chain): ()}))
