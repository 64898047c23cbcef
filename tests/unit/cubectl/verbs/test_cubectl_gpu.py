"""GPU jobs on the command line: made of files, cancelled, and their output read."""

import io
import tarfile
from pathlib import Path

import pytest

from cubernetes.api.coding import codec
from cubernetes.api.gpu.gpujob import GpuJob
from cubernetes.api.meta import replaced
from tests.unit.cubectl.tinyserver import TinyServer, run
from tests.unit.gpu.gpuworld import a_gpujob, in_phase

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
