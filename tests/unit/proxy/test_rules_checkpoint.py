"""The rules of a node survive its proxy, and damage to them is seen."""

from pathlib import Path

import pytest

from cubernetes.host.packetfilter.ruleset import Chain, RuleSet
from proxy.checkpoint import Checkpoint
from proxy.services.saved import decoded, encoded

RULES = RuleSet(
    chains={
        Chain("nat", "CUBE-SERVICES"): (("-d", "10.96.0.1/32", "-j", "CUBE-SVC-A"),),
        Chain("nat", "CUBE-SVC-A"): (("-j", "DNAT", "--to-destination", "10.244.0.2:80"),),
    },
    jumps={Chain("nat", "OUTPUT"): (("-j", "CUBE-SERVICES"),)},
)


def load(checkpoint: Checkpoint) -> RuleSet | None:
    content = checkpoint.load()
    return decoded(content) if content is not None else None


def test_rules_that_were_saved_are_loaded_by_the_next_life(tmp_path: Path) -> None:
    path = tmp_path / "proxy.checkpoint"
    assert load(Checkpoint(path)) is None

    Checkpoint(path).save(encoded(RULES))
    assert load(Checkpoint(path)) == RULES


def test_a_damaged_checkpoint_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "proxy.checkpoint"
    Checkpoint(path).save(encoded(RULES))
    whole = path.read_bytes()
    for index in range(0, len(whole), 5):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :])
        assert load(Checkpoint(path)) is None
        path.write_bytes(whole[:index])
        assert load(Checkpoint(path)) is None


def test_without_a_path_nothing_is_kept() -> None:
    checkpoint = Checkpoint(None)
    checkpoint.save(encoded(RULES))

    assert load(checkpoint) is None


def test_what_is_not_of_this_backend_is_refused() -> None:
    with pytest.raises(ValueError, match="chains"):
        decoded(b"{}")
