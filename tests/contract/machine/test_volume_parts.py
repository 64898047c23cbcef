"""Parts of volumes on the real kernel: what is bound is what was opened, and it all goes again."""

import os
from pathlib import Path

import pytest

from cubernetes.api.core.podspec.volumes.volume import EmptyDir, Volume
from cubernetes.api.meta import replaced
from cubernetes.host.blocking import Threads
from cubernetes.host.command import Completed, SystemCommands
from kubelet.pod.volumes import DiskVolumes, VolumePart, VolumeTrouble
from tests.given import a_pod

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


class Attacker:
    """The machine's commands; before a mount, a container puts a link in the place of a folder."""

    def __init__(self) -> None:
        self._system = SystemCommands()
        self.swap: tuple[Path, Path] | None = None

    async def run(
        self, argv: list[str], *, stdin: bytes = b"", deadline_s: float = 60.0
    ) -> Completed:
        if argv[0] == "mount" and self.swap is not None:
            folder, target = self.swap
            folder.rename(folder.with_name("moved"))
            folder.symlink_to(target)
        return await self._system.run(argv, stdin=stdin, deadline_s=deadline_s)


async def test_what_is_bound_is_what_was_opened_also_where_its_name_is_swapped(
    tmp_path: Path,
) -> None:
    attacker = Attacker()
    volumes = DiskVolumes(tmp_path / "volumes", attacker, Threads())  # type: ignore[arg-type]
    pod = a_pod("web-0")
    pod = replaced(pod, spec=replaced(pod.spec, volumes=(Volume(name="v", empty_dir=EmptyDir()),)))
    uid = pod.metadata.uid
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "name").write_text("the node's")
    folder = Path((await volumes.prepare(pod))["v"])
    (folder / "part").mkdir()
    (folder / "part" / "name").write_text("the volume's")
    (folder / "file").write_text("one")

    async def bound_at(part: VolumePart) -> Path:
        return Path((await volumes.bind(part)).path)

    try:
        attacker.swap = (folder / "part", outside)
        bound = await bound_at(VolumePart(uid, "main", 0, "v", str(folder), "part", True))
        attacker.swap = None
        assert (bound / "name").read_text() == "the volume's"

        # The next container of the pod finds the link, and is refused.
        with pytest.raises(VolumeTrouble, match=r"volume v: subPath part: .* leads out"):
            await volumes.bind(VolumePart(uid, "main", 0, "v", str(folder), "part", True))

        file = await bound_at(VolumePart(uid, "main", 1, "v", str(folder), "file", True))
        assert file.read_text() == "one"
        again = await bound_at(VolumePart(uid, "main", 1, "v", str(folder), "moved", True))
        assert (again, (again / "name").read_text()) == (file, "the volume's")
    finally:
        await volumes.remove(uid)
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert (outside / "name").read_text() == "the node's"
    assert await volumes.pod_uids() == set()


async def test_a_missing_key_is_an_empty_folder_that_no_other_mount_sees_until_it_comes(
    tmp_path: Path,
) -> None:
    volumes = DiskVolumes(tmp_path / "volumes", SystemCommands(), Threads())
    uid, folder = "u-1", tmp_path / "settings"
    folder.mkdir()
    key = VolumePart(uid, "main", 0, "v", str(folder), "app.ini", is_made=False)
    try:
        standing = await volumes.bind(key)
        assert (standing.is_there, list(Path(standing.path).iterdir())) == (False, [])
        assert Path(standing.path).stat().st_mode & 0o777 == 0o755
        assert list(folder.iterdir()) == []

        (folder / "app.ini").write_text("color=blue")
        found = await volumes.bind(key)
        assert (found, Path(found.path).read_text()) == ((standing.path, True), "color=blue")

        (folder / "app.ini").unlink()
        assert await volumes.bind(key) == standing
        assert list(Path(standing.path).iterdir()) == []
    finally:
        await volumes.remove(uid)
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


async def test_a_volume_that_is_not_there_is_told_also_where_a_part_may_be_missing(
    tmp_path: Path,
) -> None:
    volumes = DiskVolumes(tmp_path / "volumes", SystemCommands(), Threads())
    part = VolumePart("u-1", "main", 0, "v", str(tmp_path / "none"), "app.ini", is_made=False)
    with pytest.raises(VolumeTrouble, match=r"volume v: subPath app.ini: No such file"):
        await volumes.bind(part)
