"""The rules of a node survive its proxy, and damage to them is seen."""

from pathlib import Path

from cubernetes.host.packetfilter.ruleset import Chain, RuleSet
from proxy.checkpoint import RulesCheckpoint

RULES = RuleSet(
    chains={
        Chain("nat", "CUBE-SERVICES"): (("-d", "10.96.0.1/32", "-j", "CUBE-SVC-A"),),
        Chain("nat", "CUBE-SVC-A"): (("-j", "DNAT", "--to-destination", "10.244.0.2:80"),),
    },
    jumps={Chain("nat", "OUTPUT"): (("-j", "CUBE-SERVICES"),)},
)


def test_rules_that_were_saved_are_loaded_by_the_next_life(tmp_path: Path) -> None:
    path = tmp_path / "proxy.checkpoint"
    assert RulesCheckpoint(path).load() is None

    RulesCheckpoint(path).save(RULES)
    assert RulesCheckpoint(path).load() == RULES


def test_a_damaged_checkpoint_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "proxy.checkpoint"
    RulesCheckpoint(path).save(RULES)
    whole = path.read_bytes()
    for index in range(0, len(whole), 5):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :])
        assert RulesCheckpoint(path).load() is None
        path.write_bytes(whole[:index])
        assert RulesCheckpoint(path).load() is None


def test_without_a_path_nothing_is_kept() -> None:
    checkpoint = RulesCheckpoint(None)
    checkpoint.save(RULES)

    assert checkpoint.load() is None
