"""Volumes on a node's disk: made, checked, and taken away with their pod."""

import errno
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.references import Named
from cubernetes.api.core.podspec.security.context import PodSecurityContext
from cubernetes.api.core.podspec.volumes.volume import (
    ClaimVolume,
    EmptyDir,
    HostPath,
    SecretVolume,
    Volume,
)
from cubernetes.api.core.secret import Secret
from cubernetes.api.core.serviceaccount import TOKEN_VOLUME_PREFIX
from cubernetes.api.meta import replaced
from cubernetes.api.quantities import Quantity
from cubernetes.host.blocking import Key, StillHanging, Threads
from cubernetes.host.command import CommandFailed, Completed, SystemCommands
from kubelet.files.contents import Content
from kubelet.files.places import NodeFolder
from kubelet.objects.tokenwishes import Wish
from kubelet.pod import volumes as volumes_module
from kubelet.pod.volumes import DiskVolumes, Message, UnderWay, VolumeTrouble
from tests.given import a_pod
from tests.simulation.clock import AtOnce


def a_pod_with(*volumes: Volume) -> Pod:
    pod = a_pod("web-0")
    return replaced(pod, spec=replaced(pod.spec, volumes=volumes))


@pytest.fixture
def volumes(tmp_path: Path) -> DiskVolumes:
    return DiskVolumes(tmp_path / "volumes", SystemCommands(), Threads())


async def test_an_empty_dir_is_made_kept_and_gone_with_its_pod(volumes: DiskVolumes) -> None:
    pod = a_pod_with(Volume(name="shared", empty_dir=EmptyDir()))
    path = Path((await volumes.prepare(pod))["shared"])
    (path / "file").write_text("kept")
    assert path.stat().st_mode & 0o777 == 0o777

    again = Path((await volumes.prepare(pod))["shared"])
    assert (again / "file").read_text() == "kept"
    assert await volumes.pod_uids() == {pod.metadata.uid}

    await volumes.remove(pod.metadata.uid)
    assert not path.exists()
    assert await volumes.pod_uids() == set()
    await volumes.remove(pod.metadata.uid)


async def test_a_container_leaves_a_message_of_which_the_end_is_read(volumes: DiskVolumes) -> None:
    made = [Message("uid-1", "main", attempt) for attempt in range(3)]
    assert await volumes.message_text(made[0], 4) == ""

    first = Path(await volumes.message_file(made[0]))
    assert (first.read_bytes(), first.stat().st_mode & 0o777) == (b"", 0o666)
    first.write_bytes(b"the last words \xff")
    assert Path(await volumes.message_file(made[0])) == first  # as after a crash: it is kept
    assert await volumes.message_text(made[0], 7) == "words \ufffd"

    second, third = [Path(await volumes.message_file(one)) for one in made[1:]]
    assert second.exists()
    assert third.exists()
    assert not first.exists()  # of a container that is no longer kept
    await volumes.remove("uid-1")
    assert await volumes.pod_uids() == set()


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


class Kernel:
    """What `mount` and `umount` do, as a mountinfo of our own tells of it."""

    def __init__(self, folder: Path) -> None:
        self.mountinfo = folder / "mountinfo"
        self.mountinfo.write_text("21 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
        self.asked: list[str] = []
        self.busy = ""
        self.options: list[str] = []
        self.refused = ""  # why nothing can be mounted

    def mount(self, path: str) -> None:
        escaped = path.replace(" ", "\\040")
        with self.mountinfo.open("a") as file:
            file.write(f"30 21 0:30 / {escaped} rw shared:1 - tmpfs tmpfs rw\n")

    async def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", deadline_s: float = 30.0
    ) -> Completed:
        program, path = argv[0], argv[-1]
        self.asked.append(program)
        if program == "mount":
            if self.refused:
                raise CommandFailed(argv, 32, self.refused)
            self.mount(path)
            self.options.append(argv[4])
        elif self.busy:
            raise CommandFailed(argv, 32, self.busy)
        else:
            assert Path(path).is_dir(), "unmounted after its folder was removed"
            lines = self.mountinfo.read_text().splitlines(keepends=True)
            self.mountinfo.write_text("".join(one for one in lines if f" {path} " not in one))
        return Completed(b"", b"")


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


@pytest.fixture
def mounting(tmp_path: Path, kernel: Kernel) -> DiskVolumes:
    return DiskVolumes(tmp_path / "volumes", kernel, Threads(), mounts=kernel.mountinfo)


MEMORY = Volume(name="memory", empty_dir=EmptyDir(medium="Memory"))
DISK = Volume(name="disk", empty_dir=EmptyDir())


async def test_a_volume_in_memory_is_mounted_once_and_unmounted_before_its_folder_goes(
    mounting: DiskVolumes, kernel: Kernel
) -> None:
    pod = a_pod_with(MEMORY)
    path = Path((await mounting.prepare(pod))["memory"])
    assert await mounting.prepare(pod) == {"memory": str(path)}

    await mounting.remove(pod.metadata.uid)

    assert kernel.asked == ["mount", "umount"]
    assert not path.parent.exists()


async def test_what_cannot_be_unmounted_is_told_and_nothing_goes_through_it(
    mounting: DiskVolumes, kernel: Kernel
) -> None:
    pod = a_pod_with(MEMORY, DISK)
    paths = await mounting.prepare(pod)
    for path in paths.values():
        (Path(path) / "file").touch()
    kernel.busy = "target is busy"

    with pytest.raises(VolumeTrouble, match=r"target is busy.*volumes/.*/memory"):
        await mounting.remove(pod.metadata.uid)
    assert (Path(paths["memory"]) / "file").exists()
    assert not Path(paths["disk"]).exists()

    kernel.busy = ""
    await mounting.remove(pod.metadata.uid)
    assert await mounting.pod_uids() == set()


async def test_a_file_system_that_others_mounted_in_a_volume_is_theirs(
    mounting: DiskVolumes, kernel: Kernel
) -> None:
    pod = a_pod_with(DISK)
    inner = Path((await mounting.prepare(pod))["disk"]) / "my data"
    inner.mkdir()
    (inner / "file").touch()
    kernel.mount(str(inner))

    with pytest.raises(VolumeTrouble, match=r"my data: a file system is mounted there"):
        await mounting.remove(pod.metadata.uid)
    assert (inner / "file").exists()
    assert "umount" not in kernel.asked


async def test_one_obstacle_is_named_and_all_the_rest_is_removed(
    volumes: DiskVolumes, tmp_path: Path
) -> None:
    pod = a_pod_with(DISK, Volume(name="other", empty_dir=EmptyDir()))
    paths = await volumes.prepare(pod)
    # No kind of volume: it cannot be removed as one.
    obstacle = tmp_path / "volumes" / pod.metadata.uid / "obstacle"
    obstacle.touch()

    with pytest.raises(VolumeTrouble, match=r"obstacle: Not a directory$"):
        await volumes.remove(pod.metadata.uid)
    assert not any(Path(path).exists() for path in paths.values())

    obstacle.unlink()
    await volumes.remove(pod.metadata.uid)
    assert await volumes.pod_uids() == set()


async def test_a_volume_that_hangs_is_named_and_keeps_no_other_pod(tmp_path: Path) -> None:
    blocking = AtOnce()
    volumes = DiskVolumes(tmp_path, SystemCommands(), blocking, deadline_s=0.01)
    theirs = tmp_path / "theirs"
    hung = a_pod_with(Volume(name="data", host_path=HostPath(path=str(theirs), type="")))
    blocking.hanging.add(("volume", f"{hung.metadata.uid}/data"))

    with pytest.raises(VolumeTrouble, match=rf"volume data: {theirs}: no end after 0.01 s"):
        await volumes.prepare(hung)

    other = replaced(hung, metadata=replaced(hung.metadata, uid="another"))
    assert await volumes.prepare(other) == {"data": str(theirs)}
    await volumes.remove(hung.metadata.uid)


SECRET = Volume(name="login", secret=SecretVolume(secret_name="login"))
CONTENT = Content({Named("Secret", "login"): Secret(data={"word": "aHVudGVyMg=="})})


async def test_a_secrets_files_lie_in_memory_and_go_with_their_pod(
    mounting: DiskVolumes, kernel: Kernel
) -> None:
    pod = a_pod_with(SECRET)
    path = Path((await mounting.prepare(pod, CONTENT))["login"])
    assert str(path) in kernel.mountinfo.read_text()
    assert (path / "word").read_bytes() == b"hunter2"
    assert path.stat().st_mode & 0o777 == 0o755

    assert await mounting.prepare(pod, CONTENT) == {"login": str(path)}
    await mounting.remove(pod.metadata.uid)
    assert kernel.asked == ["mount", "umount"]
    assert not path.parent.exists()


async def test_a_secret_is_not_written_where_no_memory_can_be_mounted(
    mounting: DiskVolumes, kernel: Kernel, tmp_path: Path
) -> None:
    kernel.refused = "mount: permission denied"
    with pytest.raises(VolumeTrouble, match=r"volume login: .*permission denied"):
        await mounting.prepare(a_pod_with(SECRET), CONTENT)
    assert [one for one in tmp_path.rglob("*") if one.name == "word"] == []


async def test_what_is_not_known_leaves_the_files_and_keeps_a_new_pod_waiting(
    mounting: DiskVolumes,
) -> None:
    pod = a_pod_with(SECRET)
    unknown = Content(unknown=frozenset({Named("Secret", "login")}))
    with pytest.raises(VolumeTrouble, match="volume login: what it is made from has not been read"):
        await mounting.prepare(pod, unknown)
    await mounting.prepare(pod, CONTENT)
    path = Path((await mounting.prepare(pod, unknown))["login"])
    assert (path / "word").read_bytes() == b"hunter2"


async def test_without_its_cluster_a_pod_has_the_volume_that_nobody_asked_for_empty(
    mounting: DiskVolumes,
) -> None:
    name = f"{TOKEN_VOLUME_PREFIX}x2x2x"
    source = {"serviceAccountToken": {"path": "token"}}
    asked_for, put_in = (
        a_pod_with(msgspec.convert({"name": one, "projected": {"sources": [source]}}, Volume))
        for one in ("own", name)
    )
    slow, away = Content(untold="no"), Content(untold="no", is_away=True)
    for pod, content in ((asked_for, away), (put_in, slow)):
        with pytest.raises(VolumeTrouble, match="no"):
            await mounting.prepare(pod, content)
    path = Path((await mounting.prepare(put_in, away))[name])
    assert not (path / "token").exists()
    await mounting.prepare(put_in, Content(tokens={Wish("", 3600): "t"}))
    assert (path / "token").read_text() == "t"
    await mounting.prepare(put_in, away)
    assert (path / "token").read_text() == "t"


async def test_a_volume_in_memory_holds_no_more_than_its_limit(
    mounting: DiskVolumes, kernel: Kernel
) -> None:
    small = EmptyDir(medium="Memory", size_limit=Quantity("1Mi"))
    await mounting.prepare(a_pod_with(Volume(name="small", empty_dir=small), MEMORY))
    assert kernel.options == ["mode=1777,size=1048576", "mode=1777"]


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
async def test_volumes_belong_to_the_group_of_their_pod(mounting: DiskVolumes) -> None:
    pod = a_pod_with(DISK, SECRET)
    context = PodSecurityContext(fs_group=2000)
    pod = replaced(pod, spec=replaced(pod.spec, security_context=context))
    for _ in range(2):
        paths = await mounting.prepare(pod, CONTENT)
        found = {name: Path(path).stat() for name, path in paths.items()}
        assert (found["disk"].st_gid, found["disk"].st_mode & 0o7777) == (2000, 0o2777)
        word = (Path(paths["login"]) / "word").stat()
        assert (word.st_gid, word.st_mode & 0o7777) == (2000, 0o644)


class LateThreads(Threads):
    """So many portions of a volume end after whoever asked for them has given up; or hang."""

    late_count, hangs = 0, False

    async def run[T](self, key: Key, work: Callable[[], T], *, deadline_s: float = 10.0) -> T:
        if not (isinstance(work, partial) and work.func.__name__ == "go_on" and self.late_count):
            return await super().run(key, work, deadline_s=deadline_s)
        self.late_count -= 1
        if not self.hangs:
            work()
        raise StillHanging(errno.ETIMEDOUT, "no end")


def a_claim_of_files(tmp_path: Path) -> tuple[Path, Pod, dict[str, NodeFolder]]:
    data = tmp_path / "data"
    data.mkdir()
    for index in range(7):
        (data / f"file-{index}").write_text("x")
    claim = ClaimVolume(claim_name="disk")
    pod = a_pod_with(Volume(name="disk", persistent_volume_claim=claim))
    context = PodSecurityContext(fs_group=2000)
    pod = replaced(pod, spec=replaced(pod.spec, security_context=context))
    where = HostPath(path=str(data), type="Directory")
    return data, pod, {"disk": NodeFolder(where, takes_group=True)}


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
async def test_a_portion_that_is_late_is_gone_on_with_and_a_disk_that_hangs_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, pod, claimed = a_claim_of_files(tmp_path)
    late = LateThreads()
    volumes = DiskVolumes(tmp_path / "volumes", SystemCommands(), late)
    monkeypatch.setattr(volumes_module, "ENTRIES_MAX", 2)
    late.late_count = 3
    for count in (2, 4, 6):
        with pytest.raises(UnderWay, match=f"{count} files given to group 2000 so far"):
            await volumes.prepare(pod, claimed=claimed)
    late.late_count, late.hangs = 1, True
    with pytest.raises(VolumeTrouble, match="no end") as hanging:
        await volumes.prepare(pod, claimed=claimed)
    assert not isinstance(hanging.value, UnderWay)
    await volumes.prepare(pod, claimed=claimed)
    assert {one.stat().st_gid for one in (data, *data.iterdir())} == {2000}


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
async def test_a_claims_volume_is_given_to_the_group_with_all_in_it_once_in_a_pods_life(
    volumes: DiskVolumes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, pod, claimed = a_claim_of_files(tmp_path)
    # Of a volume with many files its pod is told so far, and the next try goes on from there.
    monkeypatch.setattr(volumes_module, "ENTRIES_MAX", 2)
    monkeypatch.setattr(volumes_module, "CALLS_MAX", 3)
    with pytest.raises(UnderWay, match="volume disk: 6 files given to group 2000 so far"):
        await volumes.prepare(pod, claimed=claimed)
    await volumes.prepare(pod, claimed=claimed)
    assert {one.stat().st_gid for one in (data, *data.iterdir())} == {2000}

    monkeypatch.undo()
    late = data / "late"
    late.write_text("x")
    os.chown(late, 0, 0)
    await volumes.prepare(pod, claimed=claimed)
    assert late.stat().st_gid == 0
    await volumes.remove(pod.metadata.uid)
    await volumes.prepare(pod, claimed=claimed)
    assert late.stat().st_gid == 2000
