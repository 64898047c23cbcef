"""GPU jobs on the command line: made of files, cancelled, and their output read."""

import io
import tarfile
from pathlib import Path

import pytest

from cubernetes.api.coding import codec
from cubernetes.api.gpu.gpujob import GpuJob
from cubernetes.api.gpu.gpusite import GpuSiteSpec
from cubernetes.api.gpu.slurm import Slurm
from cubernetes.api.meta import replaced
from tests.contract.gpu.slurm_worlds import PaperLine
from tests.unit.cubectl.tinyserver import TinyServer, run
from tests.unit.gpu.gpuworld import a_gpujob, a_gpusite, in_phase

ROOT = "/apis/gpu.cubernetes.io/v1/namespaces/default/gpujobs"


def made(server: TinyServer, name: str = "add") -> GpuJob:
    return codec.from_tree(GpuJob, server.trees[f"{ROOT}/{name}"]).model


def tar_of(path: Path, *members: tuple[str, bytes], link: str = "") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        if link:
            member = tarfile.TarInfo("x.cu")
            member.type, member.linkname = tarfile.SYMTYPE, link
            archive.addfile(member)
    return path


def test_a_job_is_made_of_a_folder_with_one_source(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "add.cu").write_text("int main;")
    (tmp_path / "lib" / "own.h").write_text("// own")
    server = TinyServer()

    said = run(server, f"create gpujob add --from {tmp_path} --gpus 2 --allow-stand-in")

    assert (said.code, said.out) == (0, "gpujob.gpu.cubernetes.io/add created\n")
    spec = made(server).spec
    assert spec.files == {"add.cu": "int main;", "lib/own.h": "// own"}
    assert spec.program is not None
    assert (spec.program.cuda, spec.resources.gpus, spec.allow_stand_in) == ("add.cu", 2, True)


def test_a_job_is_made_of_an_archive_without_its_outer_folder(tmp_path: Path) -> None:
    tar = tar_of(tmp_path / "x.tar.gz", ("top/run.sh", b"true\n"), ("top/a.cu", b"a"))
    server = TinyServer()

    assert run(server, f"create gpujob add --from {tar}").code == 0

    spec = made(server).spec
    assert (set(spec.files), spec.script, spec.program) == ({"run.sh", "a.cu"}, "sh run.sh\n", None)


@pytest.mark.parametrize(
    ("members", "link", "word"),
    [
        ((("../a.cu", b""),), "", "leads out"),
        ((("/a.cu", b""),), "", "leads out"),
        ((("a.cu", b""),), "/etc/passwd", "is a link"),
        ((("a.cu", b"\xff"),), "", "is no text"),
        ((("a.cu", b"x" * (512 * 1024 + 1)),), "", "more than 524288 bytes"),
        (tuple((f"{index}.cu", b"") for index in range(101)), "", "more than 100 files"),
        ((), "", "no files"),
        ((("a.c", b""),), "", "needs one CUDA source"),
        ((("a.cu", b""), ("b.cu", b"")), "", "a.cu, b.cu"),
    ],
)
def test_an_archive_that_is_no_job_is_refused_by_name(
    members: tuple[tuple[str, bytes], ...], link: str, word: str, tmp_path: Path
) -> None:
    tar = tar_of(tmp_path / "x.tar.gz", *members, link=link)
    server = TinyServer()
    said = run(server, f"create gpujob add --from {tar}")
    assert said.code != 0
    assert word in said.err
    assert server.writes == []


def test_what_is_no_archive_or_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no tar")
    for name in ("x", "absent"):
        said = run(TinyServer(), f"create gpujob add --from {tmp_path / name}")
        assert said.code != 0
        assert str(tmp_path / name) in said.err
    assert run(TinyServer(), "create gpujob add").code == 2


MANIFEST = """
apiVersion: gpu.cubernetes.io/v1
kind: GpuJob
metadata: {name: add}
spec: {allowStandIn: true, program: {cuda: add.cu}, files: {own.h: mine}}
"""


def test_a_manifest_and_an_archive_make_a_job_as_they_did_before(tmp_path: Path) -> None:
    """As in the forerunner: `apply -f gpu.yaml -j x.tar.gz`."""
    manifest = tmp_path / "gpu.yaml"
    manifest.write_text(MANIFEST)
    tar = tar_of(tmp_path / "x.tar.gz", ("top/add.cu", b"int main;"), ("top/own.h", b"theirs"))
    server = TinyServer()

    said = run(server, f"apply -f {manifest} -j {tar}")

    assert (said.code, said.out) == (0, "gpujob.gpu.cubernetes.io/add created\n"), said.err
    assert made(server).spec.files == {"add.cu": "int main;", "own.h": "mine"}
    again = run(server, f"apply -f {manifest} -j {tar}")
    assert again.out == "gpujob.gpu.cubernetes.io/add unchanged\n"


def test_files_are_given_to_one_job_alone(tmp_path: Path) -> None:
    manifest = tmp_path / "gpu.yaml"
    other = MANIFEST.replace("name: add", "name: other")
    manifest.write_text(f"{MANIFEST}---\n{other}")
    tar = tar_of(tmp_path / "x.tar.gz", ("add.cu", b""))
    server = TinyServer()
    said = run(server, f"apply -f {manifest} -j {tar}")
    assert said.code == 2
    assert "have 2" in said.err
    assert server.writes == []
    assert run(server, f"apply -f {manifest}").code != 0


def test_w41_a_job_is_cancelled_and_kept() -> None:
    server = TinyServer(a_gpujob())
    said = run(server, "cancel gpujob/add")
    assert (said.code, said.out) == (0, "gpujob.gpu.cubernetes.io/add is being cancelled\n")
    assert made(server).spec.cancel
    assert run(server, "cancel pod/x").code == 2
    assert run(server, "cancel gpujobs").code == 2


def test_the_output_of_a_job_is_that_of_its_pod() -> None:
    job = in_phase(a_gpujob(), "Running", site_job_id="default/gpujob-uid-add-1")
    server = TinyServer(job)
    said = run(server, "logs gpujob/add -f")
    assert (said.code, said.out) == (0, "one\ntwo\n")
    assert (
        "GET",
        "/api/v1/namespaces/default/pods/gpujob-uid-add-1/log?follow=true",
    ) in server.asked


def test_one_stream_of_a_jobs_pod_is_asked_for() -> None:
    job = in_phase(a_gpujob(), "Running", site_job_id="default/gpujob-uid-add-1")
    server = TinyServer(job)
    assert run(server, "logs gpujob/add --stream err").code == 0
    pod = "/api/v1/namespaces/default/pods/gpujob-uid-add-1"
    assert ("GET", f"{pod}/log?stream=Stderr") in server.asked


def test_the_output_of_a_job_at_a_site_elsewhere_is_its_own() -> None:
    server = TinyServer(in_phase(a_gpujob(), "Running", site_job_id="77"))
    said = run(server, "logs gpujob/add -f --stream err")
    assert (said.code, said.out) == (0, "one\ntwo\n")
    assert ("GET", f"{ROOT}/add/output?stream=err&follow=true") in server.asked
    refused = run(server, "logs gpujob/add --tail 5")
    assert (refused.code, "--tail: not for a job at a site" in refused.err) == (2, True)


def test_a_job_that_waits_has_no_output_and_says_why() -> None:
    job = a_gpujob()
    waits = replaced(job, status=replaced(job.status, message="needs a GPU, site a has 0 free"))
    said = run(TinyServer(waits), "logs gpujob/add")
    assert said.code == 1
    assert "needs a GPU, site a has 0 free" in said.err


SITE = a_gpusite("hpc")
PINNED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMtSW5C6qRmWIqQpPiGnOvQ0Y9zYQ1vMLLrUBNg2xKqW"
SLURM = Slurm(host="login", port=2222, user="hpc", key_secret="hpc-key", host_keys=(PINNED,))
KEY_PATH = "/api/v1/namespaces/gpu-sites/secrets/hpc-key"
# An ssh and an sshd in one: a person gets a shell, and a key what authorized_keys says of it.
SSH = """#!/bin/sh
echo "$@" >>{place}/calls
export HOME={place}/home PATH={place}/bin:$PATH
for word in "$@"; do last=$word; done
[ "$last" = -s ] && exec sh -s
key=$(ssh-keygen -y -f "$2" | cut -d' ' -f2)
line=$(grep -F "$key" "$HOME/.ssh/authorized_keys") || {{ echo "no such key" >&2; exit 255; }}
command=${{line#*command=\\"}}
export SSH_ORIGINAL_COMMAND="$last"
exec sh -c "${{command%%\\"*}}"
"""


@pytest.fixture
def login(tmp_path: Path) -> Path:
    """Return a login node's user: its home, and Slurm's commands on paper."""
    PaperLine(tmp_path)
    (tmp_path / "home").mkdir()
    (tmp_path / "ssh").write_text(SSH.format(place=tmp_path))
    (tmp_path / "ssh").chmod(0o700)
    return tmp_path


def a_slurm_server() -> TinyServer:
    return TinyServer(replaced(SITE, spec=GpuSiteSpec(type="slurm", slurm=SLURM)))


def test_a_site_is_installed_with_a_key_of_its_own_and_asked_by_it(login: Path) -> None:
    server, keys = a_slurm_server(), login / "home" / ".ssh" / "authorized_keys"
    keys.parent.mkdir()
    keys.write_text("ssh-ed25519 AAAAB somebody\n")
    line = f"gpusite install hpc --ssh {login}/ssh"
    said = run(server, line)

    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "secret/hpc-key of gpu-sites created: a new key",
        "cube-site is at login, jobs will be in ~/cube-jobs",
        "2 nodes",
    ]
    first, own = keys.read_text().splitlines()
    assert first == "ssh-ed25519 AAAAB somebody"
    assert own.startswith('restrict,command="/')
    home = keys.parents[1]
    assert f'{home}/cube-site {home}/cube-jobs" ssh-ed25519 ' in own
    assert oct((home / "cube-site").stat().st_mode)[-2:] == "00"
    calls = (login / "calls").read_text()
    assert "-o StrictHostKeyChecking=yes -p 2222 hpc@login" in calls
    assert "/api/v1/namespaces/gpu-sites" in server.trees
    kept = server.trees[KEY_PATH]["data"]

    assert run(server, line).code == 0
    assert keys.read_text().splitlines() == [first, own]
    assert server.trees[KEY_PATH]["data"] == kept


def test_what_keeps_a_site_from_being_installed_is_told(login: Path) -> None:
    server = TinyServer(SITE)
    assert "of the type standin, not slurm" in run(server, "gpusite install hpc").err
    assert "name what to do" in run(server, "gpusite put hpc").err
    server = a_slurm_server()
    assert "--folder: must be" in run(server, "gpusite install hpc --folder ../x").err
    (login / "down").touch()
    said = run(server, f"gpusite install hpc --ssh {login}/ssh")
    assert (said.code, said.out.splitlines()[-1][:31]) == (0, "Slurm does not answer it yet: s")
    (login / "bin" / "python3").write_text("#!/bin/sh\nexit 1\n")
    (login / "bin" / "python3").chmod(0o700)
    said = run(server, f"gpusite install hpc --ssh {login}/ssh")
    assert (said.code, said.out) == (1, "")
    assert said.err == "cubectl: not installed: python3, 3.10 or newer, is needed there\n"
