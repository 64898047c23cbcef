"""Volumes on a node's disk: made, checked, and taken away with their pod."""

from pathlib import Path

import pytest

from cubernetes.api.meta import replaced
from cubernetes.api.pod import EmptyDir, HostPath, Pod, Volume
from cubernetes.host.command import SystemCommands
from kubelet.volumes import DiskVolumes, VolumeTrouble
from tests.given import a_pod


def a_pod_with(*volumes: Volume) -> Pod:
    pod = a_pod("web-0")
    return replaced(pod, spec=replaced(pod.spec, volumes=volumes))


@pytest.fixture
def volumes(tmp_path: Path) -> DiskVolumes:
    return DiskVolumes(tmp_path / "volumes", SystemCommands())


async def test_an_empty_dir_is_made_kept_and_gone_with_its_pod(volumes: DiskVolumes) -> None:
    pod = a_pod_with(Volume(name="shared", empty_dir=EmptyDir()))
    path = Path((await volumes.prepare(pod))["shared"])
    (path / "file").write_text("kept")
    assert path.stat().st_mode & 0o777 == 0o777

    again = Path((await volumes.prepare(pod))["shared"])
    assert (again / "file").read_text() == "kept"
    assert volumes.pod_uids() == {pod.metadata.uid}

    await volumes.remove(pod.metadata.uid)
    assert not path.exists()
    assert volumes.pod_uids() == set()
    await volumes.remove(pod.metadata.uid)


async def test_w43_volumes_stand_under_the_uid_that_the_server_gave_and_under_no_other_name(
    volumes: DiskVolumes, tmp_path: Path
) -> None:
    pod = a_pod_with(Volume(name="data", empty_dir=EmptyDir()))

    found = await volumes.prepare(pod)
    assert found == {"data": str(tmp_path / "volumes" / pod.metadata.uid / "data")}


@pytest.mark.parametrize(
    ("kind", "made", "is_right"),
    [
        ("Directory", "folder", True),
        ("Directory", "file", False),
        ("Directory", "nothing", False),
        ("DirectoryOrCreate", "nothing", True),
        ("DirectoryOrCreate", "file", False),
        ("File", "file", True),
        ("File", "folder", False),
        ("FileOrCreate", "nothing", True),
        ("Socket", "file", False),
        ("BlockDevice", "file", False),
        ("", "file", True),
        ("", "nothing", True),
    ],
)
async def test_a_host_path_is_what_its_type_says_or_the_pod_is_told(
    volumes: DiskVolumes, tmp_path: Path, kind: str, made: str, is_right: bool
) -> None:
    path = tmp_path / "theirs"
    if made == "folder":
        path.mkdir()
    elif made == "file":
        path.touch()
    volume = Volume(
        name="theirs",
        host_path=HostPath(path=str(path), type=kind),  # type: ignore[arg-type]
    )

    if is_right:
        assert await volumes.prepare(a_pod_with(volume)) == {"theirs": str(path)}
        assert path.exists()
    else:
        with pytest.raises(VolumeTrouble, match="theirs"):
            await volumes.prepare(a_pod_with(volume))


async def test_removing_a_pods_volumes_leaves_host_paths_alone(
    volumes: DiskVolumes, tmp_path: Path
) -> None:
    path = tmp_path / "theirs"
    path.mkdir()
    (path / "file").touch()
    pod = a_pod_with(
        Volume(name="own", empty_dir=EmptyDir()),
        Volume(name="theirs", host_path=HostPath(path=str(path))),
    )
    await volumes.prepare(pod)

    await volumes.remove(pod.metadata.uid)
    assert (path / "file").exists()
