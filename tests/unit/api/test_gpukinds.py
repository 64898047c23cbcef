"""The rules of GpuJob, GpuSite and GpuQueue, and what their columns say."""

from typing import Any

import pytest

from cubernetes.api.coding import codec
from cubernetes.api.errors import ApiError
from cubernetes.api.gpu.gpujob import GpuJob
from cubernetes.api.gpu.gpuqueue import GpuQueue
from cubernetes.api.gpu.gpusite import GpuSite
from cubernetes.api.meta import Object
from tests.given import NOW

GROUP = "gpu.cubernetes.io/v1"


def read[O: Object](kind: type[O], **spec: Any) -> O:
    tree = {
        "apiVersion": GROUP,
        "kind": kind.resource.kind,
        "metadata": {"name": "a", "namespace": "default" if kind is GpuJob else ""},
        "spec": spec,
    }
    return codec.from_tree(kind, tree).model


def fields_of(one: Object) -> list[str]:
    return [problem.field for problem in one.problems()]


def test_a_job_has_a_program_or_a_script() -> None:
    program = {"cuda": "a.cu"}
    assert fields_of(read(GpuJob, script="true")) == []
    assert fields_of(read(GpuJob, program=program, files={"a.cu": ""})) == []
    assert fields_of(read(GpuJob)) == ["spec.program"]
    both = read(GpuJob, script="true", program=program, files={"a.cu": ""})
    assert fields_of(both) == ["spec.program"]
    assert fields_of(read(GpuJob, program=program)) == ["spec.program.cuda"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"files": {"../x": ""}}, "spec.files[../x]"),
        ({"files": {"/etc/passwd": ""}}, "spec.files[/etc/passwd]"),
        ({"files": {"a": "x" * 524289}}, "spec.files"),
        ({"script": "#SBATCH --exclusive\ntrue"}, "spec.script"),
        ({"script": "true\n  # SBATCH -p x"}, "spec.script"),
        ({"resources": {"gpuType": "H 200"}}, "spec.resources.gpuType"),
        ({"resources": {"memory": "0"}}, "spec.resources.memory"),
        ({"site": "../a"}, "spec.site"),
        ({"queue": ""}, "spec.queue"),
    ],
)
def test_what_a_job_may_not_say_is_named(spec: dict[str, Any], field: str) -> None:
    assert fields_of(read(GpuJob, **({"script": "true"} | spec))) == [field]


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        (GpuJob, {"script": "true", "nodes": 65}),
        (GpuJob, {"script": "true", "resources": {"gpus": 0}}),
        (GpuJob, {"script": "true", "timeLimitSeconds": 0}),
        (GpuJob, {"script": "true", "retries": 11}),
        (GpuJob, {"script": "true", "priority": 1001}),
        (GpuSite, {"type": "cloud"}),
        (GpuSite, {"type": "standin", "maxJobs": 0}),
        (GpuQueue, {"weight": 0}),
    ],
)
def test_what_is_out_of_range_is_refused(kind: type[Object], spec: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match=r"spec\."):
        read(kind, **spec)


def test_a_job_that_was_made_changes_only_in_how_it_waits_stays_and_ends() -> None:
    old = read(GpuJob, script="true")
    free = read(GpuJob, script="true", priority=5, keepSeconds=60, cancel=True)
    assert list(free.update_problems(old)) == []
    for spec in ({"script": "false"}, {"script": "true", "timeLimitSeconds": 9}):
        assert [one.field for one in read(GpuJob, **spec).update_problems(old)] == [
            f"spec.{'script' if len(spec) == 1 else 'timeLimitSeconds'}"
        ]
    assert [one.field for one in old.update_problems(free)] == ["spec.cancel"]


def test_columns_tell_phase_site_place_and_gpus() -> None:
    job = read(GpuJob, script="true", resources={"gpus": 2})
    row = {one.title: one.cell(job, NOW) for one in GpuJob.columns}
    assert (row["Phase"], row["Site"], row["Position"], row["GPUs"]) == ("Pending", "<none>", "", 2)
    site = read(GpuSite, type="standin")
    told = {one.title: one.cell(site, NOW) for one in GpuSite.columns}
    assert (told["Ready"], told["Free GPUs"]) == ("Unknown", "0/0")


SLURM: dict[str, Any] = {
    "host": "login.example",
    "user": "hpc",
    "keySecret": "hpc",
    "hostKeys": [
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMtSW5C6qRmWIqQpPiGnOvQ0Y9zYQ1vMLLrUBNg2xKqW"
    ],
}


def test_a_site_of_slurm_is_reached_by_what_it_says() -> None:
    assert fields_of(read(GpuSite, type="slurm", slurm=SLURM)) == []
    assert fields_of(read(GpuSite, type="slurm")) == ["spec.slurm"]
    assert fields_of(read(GpuSite, type="standin", slurm=SLURM)) == ["spec.slurm"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"host": "-oProxyCommand=id"}, "host"),
        ({"host": "a b"}, "host"),
        ({"user": "-l root"}, "user"),
        ({"keySecret": "../x"}, "keySecret"),
        ({"hostKeys": []}, "hostKeys"),
        ({"hostKeys": ["login.example ssh-ed25519 AAAA"]}, "hostKeys[0]"),
        ({"partition": "gpu --uid=0"}, "partition"),
        ({"account": "-w"}, "account"),
        ({"arch": "sm_90\n"}, "arch"),
        ({"modules": ["cuda", "; id"]}, "modules[1]"),
        ({"modules": [""]}, "modules[0]"),
        ({"modules": ["x"] * 21}, "modules"),
    ],
)
def test_what_a_site_of_slurm_may_not_say_is_named(change: dict[str, Any], field: str) -> None:
    site = read(GpuSite, type="slurm", slurm=SLURM | change)
    assert fields_of(site) == [f"spec.slurm.{field}"]


def test_a_site_of_our_nodes_names_an_image_and_a_kind_of_device() -> None:
    assert fields_of(read(GpuSite, type="local", local={"image": "a:1"})) == []
    assert fields_of(read(GpuSite, type="local")) == ["spec.local"]
    assert fields_of(read(GpuSite, type="standin", local={"image": "a:1"})) == ["spec.local"]
    bad = {"image": "", "resource": "cpu", "nodeSelector": {"a b": ""}}
    fields = fields_of(read(GpuSite, type="local", local=bad))
    assert fields[:2] == ["spec.local.image", "spec.local.resource"]
    assert fields[2].startswith("spec.local.nodeSelector")
