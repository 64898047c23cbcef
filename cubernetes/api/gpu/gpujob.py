"""GpuJob: a program that computes on GPUs; it waits its turn, runs at a site, and ends once."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Count, Instant, Model, Object, age_of, immutable, shown
from cubernetes.api.quantities import Quantity
from cubernetes.api.resource import Resource
from cubernetes.api.specrules.sourcefiles import file_problems

# An object that has been sent to a site stays until nothing of it is left there.
FINALIZER = "gpu.cubernetes.io/site"
GPUS_MAX = 64
CPUS_MAX = 1024
NODES_MAX = 64
ARGS_MAX = 100
ARGS_BYTES_MAX = 32 * 1024
WEEK_S = 7 * 86_400
YEAR_S = 365 * 86_400

type Phase = Literal[
    "Pending", "Submitting", "Queued", "Running", "Cancelling",
    "Succeeded", "Failed", "TimedOut", "OutOfMemory", "Cancelled",
]  # fmt: skip
ENDED: frozenset[Phase] = frozenset({"Succeeded", "Failed", "TimedOut", "OutOfMemory", "Cancelled"})

_GPU_TYPE = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?\Z")
GPU_TYPE_RULE = "must be a type as sites tell it, such as h200: small letters, digits, '-' and '.'"
_DIRECTIVE = re.compile(r"^\s*#\s*SBATCH\b", re.MULTILINE)


class GpuProgram(Model):
    """A CUDA program in one source, built where it runs.

    cuda: which of `files` it is.
    args: what it is called with.
    """

    cuda: str
    args: tuple[str, ...] = ()


class GpuResources(Model):
    """What a job has while it runs, on each of its nodes.

    gpus: how many GPUs, all at one site and of one type.
    gpu_type: of which type they must be, as sites tell it; empty is any.
    cpus: how many cores, at most.
    memory: how much memory, at most; more ends it as `OutOfMemory`.
    """

    gpus: Annotated[int, msgspec.Meta(ge=1, le=GPUS_MAX)] = shown(1)
    gpu_type: str = ""
    cpus: Annotated[int, msgspec.Meta(ge=1, le=CPUS_MAX)] = shown(1)
    memory: Quantity = msgspec.field(default_factory=lambda: Quantity("1Gi"))


class GpuJobSpec(Model):
    """A program, what it needs, and how long it may take.

    site: the GpuSite where it must run; empty: by turns, at those that fit.
    queue: the GpuQueue whose share it uses.
    priority: which job of its queue goes first: the one with more.
    files: text by path, 512 KiB in all: the folder in which the program runs.
    program: a CUDA source among the files; this, or `script`.
    script: what `sh` runs in the folder; this, or `program`.
    resources: what it has while it runs, on each of its nodes.
    nodes: on how many nodes it runs at once; more than one only at a site of Slurm, where its
        program is begun on each, and its script on the first, to call `srun`.
    allow_stand_in: whether it may run on a CPU that stands in for GPUs. No job does unasked.
    time_limit_seconds: how long it may run; then it is ended, as `TimedOut`.
    retries: how often it is begun anew after its machine was lost; its own failure is final.
    keep_seconds: how long it stays after its end, with its output.
    cancel: ends it, and keeps the object. It cannot be taken back.
    """

    site: str = ""
    queue: str = shown("default")
    priority: Annotated[int, msgspec.Meta(ge=-1000, le=1000)] = shown(0)
    files: Mapping[str, str] = msgspec.field(default_factory=dict)
    program: GpuProgram | None = None
    script: str = ""
    resources: GpuResources = msgspec.field(default_factory=GpuResources)
    nodes: Annotated[int, msgspec.Meta(ge=1, le=NODES_MAX)] = shown(1)
    allow_stand_in: bool = shown(False)
    time_limit_seconds: Annotated[int, msgspec.Meta(ge=1, le=WEEK_S)] = shown(600)
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = shown(0)
    keep_seconds: Annotated[int, msgspec.Meta(ge=0, le=YEAR_S)] = shown(86_400)
    cancel: bool = False

    @property
    def gpus(self) -> int:
        """Return how many GPUs a job has on all of its nodes."""
        return self.resources.gpus * self.nodes


class GpuJobStatus(Model):
    """How far it is.

    phase: Pending waits here; Submitting is on its way to a site, Queued waits there; then Running,
        and one of the ends. Cancelling: the site has been asked to end it.
    reason: why it is so, as one word.
    message: why, as a sentence: what it waits for, or the last of its error output.
    position: which of all waiting jobs it is, from 1; 0 is none.
    site: where it was sent.
    attempt: how often it has been sent.
    submission_key: its name at the site, one for each attempt; written before anything is sent.
    site_job_id: what the site calls it: a pod, at a stand-in.
    node_name: the machine that it runs on.
    devices: the GPUs that it was given.
    exit_code: what its program ended with.
    signal: the signal that ended its program; 0 is none.
    submitted_at: when it was sent.
    started_at: when its program began.
    ended_at: when it had ended.
    """

    phase: Phase = shown("Pending")
    reason: str = ""
    message: str = ""
    position: Count = 0
    site: str = ""
    attempt: Count = 0
    submission_key: str = ""
    site_job_id: str = msgspec.field(name="siteJobID", default="")
    node_name: str = ""
    devices: tuple[str, ...] = ()
    exit_code: int | None = None
    signal: int = 0
    submitted_at: Instant | None = None
    started_at: Instant | None = None
    ended_at: Instant | None = None


def _position(one: "GpuJob", _: datetime) -> str:
    return str(one.status.position) if one.status.position else ""


class GpuJob(Object):
    resource = Resource(
        "gpu.cubernetes.io", "v1", "GpuJob", "gpujobs", ("gj",), subresources=("status", "output"),
        categories=("all",),
    )  # fmt: skip
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Phase", lambda one, _: one.status.phase),
        Column("Site", lambda one, _: one.status.site or "<none>"),
        Column("Position", _position),
        Column("GPUs", lambda one, _: one.spec.gpus),
        Column("Age", age_of),
        Column("Queue", lambda one, _: one.spec.queue, wide=True),
        Column("Message", lambda one, _: one.status.message[:120], wide=True),
    )

    api_version: str = shown("gpu.cubernetes.io/v1")
    kind: str = shown("GpuJob")
    spec: GpuJobSpec
    status: GpuJobStatus = msgspec.field(default_factory=GpuJobStatus)

    def problems(self) -> Iterator[Problem]:
        yield from self.metadata.problems(names.is_label, names.LABEL_RULE)
        spec = self.spec
        yield from file_problems(spec.files, "spec.files")
        yield from _program_problems(spec)
        if spec.resources.gpu_type and _GPU_TYPE.match(spec.resources.gpu_type) is None:
            yield Problem("spec.resources.gpuType", GPU_TYPE_RULE)
        if spec.resources.memory.whole < 1:
            yield Problem("spec.resources.memory", "must be greater than 0")
        for field, name in (("site", spec.site), ("queue", spec.queue)):
            if name and not names.is_label(name):
                yield Problem(f"spec.{field}", names.LABEL_RULE)
        if not spec.queue:
            yield Problem("spec.queue", "must name a GpuQueue", "FieldValueRequired")

    def update_problems(self, old: "GpuJob") -> Iterator[Problem]:
        free = {"priority", "keep_seconds", "cancel"}
        for field in GpuJobSpec.__struct_fields__:
            if field not in free:
                wire_name = GpuJobSpec.__struct_encode_fields__[
                    GpuJobSpec.__struct_fields__.index(field)
                ]
                yield from immutable(
                    f"spec.{wire_name}", getattr(old.spec, field), getattr(self.spec, field)
                )
        if old.spec.cancel and not self.spec.cancel:
            told = "cannot be taken back; make a new job"
            yield Problem("spec.cancel", told, "FieldValueForbidden")


def _program_problems(spec: GpuJobSpec) -> Iterator[Problem]:
    if (spec.program is None) == (not spec.script):
        yield Problem("spec.program", "needs either a program or a script", "FieldValueRequired")
    if _DIRECTIVE.search(spec.script):
        told = "#SBATCH lines are not taken: say it in spec.resources and spec.timeLimitSeconds"
        yield Problem("spec.script", told)
    program = spec.program
    if program is None:
        return
    if program.cuda not in spec.files:
        yield Problem("spec.program.cuda", "must be the path of one of spec.files")
    size_bytes = sum(len(one.encode()) for one in program.args)
    if len(program.args) > ARGS_MAX or size_bytes > ARGS_BYTES_MAX:
        told = f"at most {ARGS_MAX} arguments of {ARGS_BYTES_MAX} bytes in all"
        yield Problem("spec.program.args", told)
    if any("\0" in one for one in program.args):
        yield Problem("spec.program.args", "must have no NUL character")


def has_ended(one: GpuJob) -> bool:
    """Whether a job is at its end, which is final."""
    return one.status.phase in ENDED
