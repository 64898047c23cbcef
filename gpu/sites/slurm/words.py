"""What a Slurm site is asked, and what its answers mean. Pure."""

import json
import re
import signal
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from cubernetes.api.gpu.gpujob import GpuJob
from cubernetes.api.gpu.slurm import Slurm
from gpu.driver import Observation
from gpu.machine import Event

MEBIBYTE = 1 << 20
DEVICES_MAX = 4096
# So often the queue may be without a job that has not ended, before it is lost.
MISSED_MAX = 3
HEADER = "cube_cuda.h"
QUEUED = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "SUSPENDED"})
LIVE = QUEUED | {"RUNNING", "COMPLETING"}
LOST = frozenset({"NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REVOKED"})
TIMED_OUT = frozenset({"TIMEOUT", "DEADLINE"})
# Nodes in other states have no GPUs for anybody.
USABLE = frozenset({"idle", "mixed", "allocated", "completing", "planned", "reserved"})
_GRES = re.compile(r"gpu(?::([A-Za-z_][\w.-]*))?:(\d+)")
_MEMORY = re.compile(r"exceeded memory limit|oom[-_ ]kill", re.IGNORECASE)


class Word(msgspec.Struct, frozen=True):
    """What Slurm calls a job's state, and why."""

    state: str
    node: str = ""
    reason: str = ""
    exit: str = ""


class Begun(msgspec.Struct, frozen=True):
    at: int
    host: str = ""


class End(msgspec.Struct, frozen=True, rename="camel"):
    """What the frame has written at a program's end. is_terminated: Slurm had asked for it."""

    exit: int
    signal: int
    at: int
    began_at: int
    is_terminated: bool = False


class Facts(msgspec.Struct, frozen=True, rename="camel"):
    """All that a site knows of one job.

    is_queued: whether the queue itself told of it; else slurm is an older word, or accounting's.
    err, log: the last of its error output, and of Slurm's own words.
    """

    id: str
    slurm: Word | None = None
    is_queued: bool = False
    begun: Begun | None = None
    end: End | None = None
    is_cancelled: bool = False
    err: str = ""
    log: str = ""


class States(msgspec.Struct, frozen=True):
    nodes: tuple[tuple[str, str, str], ...]
    jobs: Mapping[str, Facts]
    trouble: str


def states_of(answer: bytes) -> States:
    """Read an answer. Raises: msgspec.MsgspecError."""
    return msgspec.json.decode(answer, type=States)


def request_for(job: GpuJob, slurm: Slurm, frame: str, header: str, bytes_max: int) -> bytes:
    """Return what a site is sent to run a job: data, none of which is a command there."""
    spec = job.spec
    program, files = spec.program, dict(spec.files)
    if program is not None:
        files.setdefault(HEADER, header)
    wanted: dict[str, Any] = {
        "files": files,
        "script": spec.script,
        "cuda": program.cuda if program is not None else "",
        "args": list(program.args) if program is not None else [],
        "gpuType": spec.resources.gpu_type,
        "cpus": spec.resources.cpus,
        "memoryMiB": max(1, -(-spec.resources.memory.whole // MEBIBYTE)),
        "limitSeconds": spec.time_limit_seconds,
        "partition": slurm.partition,
        "account": slurm.account,
        "modules": list(slurm.modules),
        "arch": slurm.arch,
        "outputBytesMax": bytes_max,
        "frame": frame,
    }
    # By another word, so that a cube-site of before refuses it: it would use one node.
    gpus = spec.resources.gpus
    wanted |= {"gpus": gpus} if spec.nodes == 1 else {"gpusPerNode": gpus, "nodes": spec.nodes}
    return json.dumps(wanted).encode()


def devices_of(states: States) -> dict[str, str]:
    """Return the GPUs of the nodes that can be used, each with its type, as the site calls it."""
    found: dict[str, str] = {}
    for node, state, gres in states.nodes:
        if state.rstrip("*~#!%$@^-+").lower() not in USABLE:
            continue
        for kind, count in _GRES.findall(gres):
            for index in range(min(int(count), DEVICES_MAX)):
                found[f"{node}/{kind or 'gpu'}-{index}"] = kind.lower() or "gpu"
    return dict(sorted(found.items())[:DEVICES_MAX])


def observation_of(found: Facts, missed_count: int = 0) -> Observation:
    """Return what becomes of a job by what its site knows.

    missed_count: how often in a row the queue has answered without it.
    """
    word = found.slurm
    state = word.state.partition(" ")[0] if word is not None else ""
    is_stale = state in LIVE and not found.is_queued
    is_unknown = word is None or is_stale
    end = found.end
    if end is not None and (is_unknown or state in ("FAILED", "COMPLETED") or _is_own(end)):
        return _by_end(found, end)
    if word is None or is_stale:
        return _unheard(found, missed_count)
    if state not in LIVE and _MEMORY.search(found.log):
        return _told(found, Event.OUT_OF_MEMORY, message=_said(found))
    return _by_word(found, word, state)


def _by_word(found: Facts, word: Word, state: str) -> Observation:
    """Return what Slurm's word means, where no program has ended by itself."""
    if state in QUEUED:
        return _told(found, Event.QUEUED, reason=word.reason, message=f"Slurm: {word.reason}")
    if state == "COMPLETED":
        return _told(found, Event.SUCCEEDED, exit_code=0)
    if state == "CANCELLED":
        return _told(found, Event.CANCELLED, message=_cancelled(found, word))
    if state in TIMED_OUT:
        return _told(found, Event.TIMED_OUT, message=_said(found))
    if state == "OUT_OF_MEMORY":
        return _told(found, Event.OUT_OF_MEMORY, message=_said(found))
    if state in LOST:
        return _told(found, Event.LOST, reason=state, message=f"Slurm: {state} {word.node}")
    if state == "FAILED":
        code, number = _exit(word)
        return _told(found, Event.FAILED, exit_code=code, by_signal=number, message=_said(found))
    return _told(found, Event.RUNNING)


def _is_own(end: End) -> bool:
    """Whether a program ended by itself: Slurm ends one by these signals, and says later why."""
    return not end.is_terminated and end.signal not in (signal.SIGTERM, signal.SIGKILL)


def _by_end(found: Facts, end: End) -> Observation:
    """A program has ended: by itself, or because it was told to."""
    if _MEMORY.search(found.log):
        return _told(found, Event.OUT_OF_MEMORY, message=_said(found))
    if end.is_terminated:
        by = "its owner" if found.is_cancelled else "somebody at the site"
        return _told(found, Event.CANCELLED, message=f"cancelled by {by}")
    if end.exit == 0:
        return _told(found, Event.SUCCEEDED, exit_code=0)
    return _told(
        found, Event.FAILED, exit_code=end.exit, by_signal=end.signal, message=_said(found)
    )


def _unheard(found: Facts, missed_count: int) -> Observation:
    """The queue has answered, and not told of it: it may be late, and at last it is lost."""
    if missed_count >= MISSED_MAX:
        told = "Slurm's queue does not know it any more, and it has not ended"
        return _told(found, Event.LOST, reason="RunawayAtSite", message=told)
    return _told(found, Event.QUEUED, message="Slurm's queue has not told of it yet")


def _told(
    found: Facts,
    state: Event,
    *,
    reason: str = "",
    message: str = "",
    exit_code: int | None = None,
    by_signal: int = 0,
) -> Observation:
    began = found.end.began_at if found.end else found.begun.at if found.begun else None
    node = found.slurm.node if found.slurm is not None else ""
    return Observation(
        state=state,
        reason=reason,
        message=message,
        exit_code=exit_code,
        signal=by_signal,
        node=node or (found.begun.host if found.begun is not None else ""),
        site_job_id=found.id,
        started_at=_at(began),
        ended_at=_at(found.end.at if found.end is not None else None),
    )


def _at(seconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None


def _said(found: Facts) -> str:
    return (found.err or found.log).strip()


def _cancelled(found: Facts, word: Word) -> str:
    by = word.state.partition(" by ")[2]
    if found.is_cancelled:
        return "cancelled by its owner"
    return f"cancelled at the site, by the user {by}" if by else "cancelled at the site"


def _exit(word: Word) -> tuple[int | None, int]:
    """Return the exit code and the signal of accounting's `3:0` or `0:11`."""
    code, _, number = word.exit.partition(":")
    if not (code.isdigit() and number.isdigit()):
        return None, 0
    return (128 + int(number) if int(number) else int(code)), int(number)
