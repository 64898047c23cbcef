"""Many lives of a cluster: CUBE_SEEDS says how many (30), CUBE_FIRST_SEED where to begin (0)."""

import os
import subprocess
import sys

import pytest

from tests.simulation.world import lived

FIRST = int(os.environ.get("CUBE_FIRST_SEED", "0"))
COUNT = int(os.environ.get("CUBE_SEEDS", "30"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_a_cluster_comes_to_what_was_wanted_whatever_happens_to_it(seed: int) -> None:
    ended = lived(str(seed))

    assert not ended.trouble, f"{ended.trouble}\nsee it again: scripts/simulate {seed}"


def test_a_seed_lives_the_same_life_again() -> None:
    first, second = lived("17"), lived("17")

    assert first == second
    assert lived("18").trace != first.trace


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_order_of_hashes_changes_nothing(hash_seed: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "17", "--quiet"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    ).stdout

    assert f"trace {lived('17').trace:012x}" in told
