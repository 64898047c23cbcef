"""What a node was told last survives its kubelet, and damage to it is seen."""

from pathlib import Path

import pytest

from kubelet.checkpoint import FileCheckpoint, NetworkState
from tests.given import a_pod


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the pods are kept, within the folder of the checkpoint."""
    return tmp_path / "pods.checkpoint"


def test_what_was_saved_is_loaded_by_the_next_life(path: Path) -> None:
    pods = [a_pod("b", node="n1"), a_pod("a", node="n1")]
    FileCheckpoint(path.parent).save(pods)

    assert {one.metadata.name for one in FileCheckpoint(path.parent).load()} == {"a", "b"}
    assert list(FileCheckpoint(path.parent).load()) == sorted(
        pods, key=lambda one: one.metadata.uid
    )


def test_nothing_saved_is_nothing_loaded(path: Path) -> None:
    assert not FileCheckpoint(path.parent).load()


def test_a_checkpoint_that_is_cut_or_changed_anywhere_is_not_trusted(path: Path) -> None:
    FileCheckpoint(path.parent).save([a_pod("web-0", node="n1")])
    whole = path.read_bytes()

    for index in range(0, len(whole), 7):
        path.write_bytes(whole[:index])
        assert not FileCheckpoint(path.parent).load()
        flipped = bytes([whole[index] ^ 0x10])
        path.write_bytes(whole[:index] + flipped + whole[index + 1 :])
        assert not FileCheckpoint(path.parent).load()


def test_the_same_pods_are_not_written_twice(path: Path) -> None:
    checkpoint = FileCheckpoint(path.parent)
    checkpoint.save([a_pod("web-0")])
    written_at = path.stat().st_mtime_ns

    checkpoint.save([a_pod("web-0")])
    assert path.stat().st_mtime_ns == written_at


def test_a_nodes_surroundings_are_kept_too(tmp_path: Path) -> None:
    around = NetworkState(
        pod_cidr="10.244.1.0/24", peers=(("n2", "192.168.78.12", "10.244.2.0/24"),)
    )
    assert FileCheckpoint(tmp_path).load_surroundings() is None
    FileCheckpoint(tmp_path).save_surroundings(around)

    assert FileCheckpoint(tmp_path).load_surroundings() == around
    (tmp_path / "node.checkpoint").write_bytes(b"00000000\n{}")
    assert FileCheckpoint(tmp_path).load_surroundings() is None


def test_the_images_that_it_pulled_are_kept_too(tmp_path: Path) -> None:
    assert list(FileCheckpoint(tmp_path).load_images()) == []
    FileCheckpoint(tmp_path).save_images(["sha256:a", "sha256:b"])
    assert list(FileCheckpoint(tmp_path).load_images()) == ["sha256:a", "sha256:b"]
    FileCheckpoint(tmp_path).save_images([])
    assert list(FileCheckpoint(tmp_path).load_images()) == []


def test_on_a_full_disk_what_was_saved_last_stands_until_the_next_try(path: Path) -> None:
    checkpoint = FileCheckpoint(path.parent)
    checkpoint.save([a_pod("a", node="n1")])
    # A folder in the way fails like a full disk: with an OSError, at any user's hands.
    (path.parent / ".pods.checkpoint.new").mkdir()
    with pytest.raises(OSError, match="checkpoint"):
        checkpoint.save([])
    assert [one.metadata.name for one in FileCheckpoint(path.parent).load()] == ["a"]

    (path.parent / ".pods.checkpoint.new").rmdir()
    checkpoint.save([])
    assert not FileCheckpoint(path.parent).load()
