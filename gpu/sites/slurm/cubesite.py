#!/usr/bin/env python3
"""What runs at a Slurm site: the forced command of our key there.

    restrict,command="/usr/bin/python3 cube-site jobs" ssh-ed25519 AAAA...

One file, for Debian's python3 (3.10 or newer) with nothing beside it. A job's key names its folder,
its Slurm job, and nothing else; every verb may be repeated. No word of a request reaches a shell of
ours or a line of #SBATCH.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import select
import shlex
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

KEY = re.compile(r"[0-9a-f][0-9a-f-]{0,62}\Z")
PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*\Z")
WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+/-]{0,199}\Z")
OFFSET = re.compile(r"[0-9]{1,15}\Z")
STREAMS = ("out", "err")
COMMAND_CHARS_MAX, REQUEST_BYTES_MAX = 200, 8 << 20
FILES_MAX, FILES_BYTES_MAX, PATH_CHARS_MAX = 100, 1 << 20, 200
WORDS_MAX, NODES_MAX, LIMIT_S_MAX = 100, 64, 7 * 86_400
GPUS_MAX, CPUS_MAX, MEMORY_MIB_MAX = 64, 1024, 1 << 30
OUTPUT_BYTES_MAX, READ_BYTES_MAX, TAIL_BYTES, NOTE_BYTES_MAX = 1 << 40, 1 << 20, 1024, 64 << 10
LOOK_S, ASK_S, OVER_S, FOLLOW_S, TOMBSTONE_S = 0.2, 20.0, 15.0, 3600.0, 30 * 86_400.0
ROWS_MAX = 20_000
# As sysexits.h has them: wrong words, wrong data, no service, try again.
USAGE, DATA, UNAVAILABLE, AGAIN = 64, 65, 69, 75
MORE = 3  # who follows an output is to ask again
LIVE = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "SUSPENDED", "RUNNING", "COMPLETING"})
OURS, SCRIPT = "cube-", "job.sh"
KEPT_VARIABLES = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "SLURM_CONF", "LD_LIBRARY_PATH")

Row = dict[str, str]
Wanted = dict[str, Any]


class Ended(Exception):
    """The request ends here, with an exit code and a sentence."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


# Files: never through a link, never a pipe or a device that a job has put there.


def opened(path: str, flags: int) -> int:
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"no plain file: {path}")
    return handle


def content(path: str, offset: int = 0, bytes_max: int = NOTE_BYTES_MAX) -> bytes:
    """Return what a plain file has from an offset on; of what is none, nothing."""
    try:
        handle = opened(path, os.O_RDONLY)
    except OSError:
        return b""
    with os.fdopen(handle, "rb") as file:
        size = os.fstat(handle).st_size
        file.seek(max(0, size + offset) if offset < 0 else min(offset, size))
        return file.read(bytes_max)


def text_of(path: str) -> str:
    return content(path).decode(errors="replace").strip()


def tail(path: str) -> str:
    return content(path, -TAIL_BYTES).decode(errors="replace")


def note(path: str) -> dict[str, Any]:
    try:
        found = json.loads(content(path) or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write(path: str, data: bytes) -> None:
    """Put a file there, whole or not at all."""
    part = path + ".part"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(part)
    with os.fdopen(opened(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(part, path)


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Hold a job's folder; it is made where there is none, and may be removed while we wait."""
    while True:
        os.makedirs(folder, 0o700, exist_ok=True)
        place = os.path.join(folder, "lock")
        try:
            handle = opened(place, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.path.lexists(place) and os.lstat(place).st_ino == os.fstat(handle).st_ino:
                yield
                return
        finally:
            os.close(handle)


# Slurm: by lists of arguments, with nothing of the requester's surroundings.


def ask(*argv: str) -> tuple[str, str]:
    """Return what a command answers, or why it did not.

    Some of Slurm's commands end with 0 although nobody answered, and say it on stderr.
    """
    kept = {one: os.environ[one] for one in KEPT_VARIABLES if one in os.environ}
    try:
        done = subprocess.run(
            argv, input=b"", capture_output=True, timeout=ASK_S, env=kept, check=False
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode == 0 and "Unable to contact" not in said:
        return done.stdout.decode(errors="replace"), ""
    return "", said[-TAIL_BYTES:] or f"{argv[0]} ended with {done.returncode}"


def rows(home: str, text: str, *names: str) -> dict[str, Row]:
    """Return the rows of our jobs by key; of several with one name the newest.

    A user may have other homes there, for other clusters: their jobs work elsewhere.
    """
    found: dict[str, Row] = {}
    for line in text.splitlines()[:ROWS_MAX]:
        row = dict(zip(names, line.split("|"), strict=False))
        name, number = row.get("name", ""), row.get("id", "")
        key = name.removeprefix(OURS)
        if key == name or not KEY.match(key) or not number.isdigit():
            continue
        if row.pop("dir", "") != os.path.join(home, key, "files"):
            continue
        if key not in found or int(number) > int(found[key]["id"]):
            found[key] = row
    return found


def queued(home: str, key: str = "") -> tuple[dict[str, Row], str]:
    argv = ["squeue", "-h", "-u", str(os.getuid()), "-t", "all", "-o", "%A|%j|%T|%N|%r|%Z"]
    text, trouble = ask(*argv, *(["-n", OURS + key] if key else []))
    return rows(home, text, "id", "name", "state", "node", "reason", "dir"), trouble


def accounted(home: str, key: str = "") -> dict[str, Row]:
    """Return what accounting knows: nothing, at a site without it."""
    columns = "JobIDRaw,JobName%80,State,NodeList,Reason,ExitCode,WorkDir"
    argv = ["sacct", "-X", "-n", "-P", "-S", "now-7days", "-u", str(os.getuid()), "-o", columns]
    text, _ = ask(*argv, *(["--name", OURS + key] if key else []))
    return rows(home, text, "id", "name", "state", "node", "reason", "exit", "dir")


# A request: each field is of its form, or nothing is done.


def must(holds: object, field: str, form: str) -> None:
    if not holds:
        raise Ended(DATA, f"{field}: must be {form}")


def number(wanted: Wanted, field: str, most: int) -> int:
    value = wanted.get(field)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    must(is_whole, field, "a whole number")
    must(1 <= int(value or 0) <= most, field, f"from 1 to {most}")
    return int(value or 0)


def word(wanted: Wanted, field: str) -> str:
    value = wanted.get(field, "")
    must(isinstance(value, str) and (not value or WORD.match(value)), field, "a plain word")
    return str(value)


def words(wanted: Wanted, field: str) -> list[str]:
    value = wanted.get(field, [])
    is_list = isinstance(value, list) and len(value) <= WORDS_MAX
    must(is_list, field, f"a list of at most {WORDS_MAX}")
    must(all(isinstance(one, str) and "\0" not in one for one in value), field, "of texts")
    return list(value)


def text(wanted: Wanted, field: str) -> str:
    value = wanted.get(field, "")
    must(isinstance(value, str) and "\0" not in value, field, "a text")
    must(len(value) <= FILES_BYTES_MAX, field, f"at most {FILES_BYTES_MAX} long")
    return str(value)


def files(wanted: Wanted) -> dict[str, bytes]:
    found = wanted.get("files", {})
    is_few = isinstance(found, dict) and len(found) <= FILES_MAX
    must(is_few, "files", f"{FILES_MAX} at most, by path")
    made: dict[str, bytes] = {}
    for path, one in found.items():
        is_inside = len(path) <= PATH_CHARS_MAX and ".." not in path and PATH.match(path)
        must(is_inside, "files", "at relative paths, none of which leads out")
        must(isinstance(one, str), "files", "texts")
        made[path] = one.encode(errors="replace")
    size = sum(map(len, made.values()))
    must(size <= FILES_BYTES_MAX, "files", f"{FILES_BYTES_MAX} bytes at most in all")
    return made


def request() -> Wanted:
    read = sys.stdin.buffer.read(REQUEST_BYTES_MAX + 1)
    must(len(read) <= REQUEST_BYTES_MAX, "request", f"{REQUEST_BYTES_MAX} bytes at most")
    try:
        wanted = json.loads(read)
    except (ValueError, RecursionError):
        raise Ended(AGAIN, "the request was cut short, or is no JSON") from None
    must(isinstance(wanted, dict), "request", "an object")
    return {"nodes": 1, **wanted}


def limits(wanted: Wanted) -> list[str]:
    """Return what sbatch is told of a job: as arguments, since its script has no such lines."""
    nodes = number(wanted, "nodes", NODES_MAX)
    gpus = number(wanted, "gpus" if nodes == 1 else "gpusPerNode", GPUS_MAX)
    gpu_type = word(wanted, "gpuType")
    minutes, seconds = divmod(number(wanted, "limitSeconds", LIMIT_S_MAX), 60)
    made = [
        f"--gres=gpu:{gpu_type}:{gpus}" if gpu_type else f"--gres=gpu:{gpus}",
        f"--cpus-per-task={number(wanted, 'cpus', CPUS_MAX)}",
        f"--mem={number(wanted, 'memoryMiB', MEMORY_MIB_MAX)}M",
        f"--time={minutes}:{seconds:02}",
        f"--nodes={nodes}",
        "--ntasks-per-node=1",
    ]
    named = [(field, word(wanted, field)) for field in ("partition", "account")]
    return [*made, *(f"--{field}={value}" for field, value in named if value)]


def script(wanted: Wanted) -> str:
    """Return what bash runs in the job's folder."""
    modules = words(wanted, "modules")
    must(all(WORD.match(one) for one in modules), "modules", "plain words")
    lines = ["module load " + " ".join(modules)] if modules else []
    cuda, arch = word(wanted, "cuda"), word(wanted, "arch")
    if not cuda:
        own = text(wanted, "script")
        must(own, "script", "there, where no cuda is")
        return "\n".join([*lines, own])
    must(cuda in files(wanted), "cuda", "one of files")
    # In quotes all the same: what was let through above is plain.
    source, chip = shlex.quote(cuda), f"-arch={shlex.quote(arch)} " if arch else ""
    args = " ".join(map(shlex.quote, words(wanted, "args")))
    build = f"nvcc -O2 -std=c++17 {chip}-I. -o ./cube-program {source}"
    failed = f"{{ echo {source} could not be built >&2; exit {DATA}; }}"
    # srun knows the nodes; since 22.05 it is told the cores of a task anew.
    srun = f"srun --kill-on-bad-exit=1 --cpus-per-task={number(wanted, 'cpus', CPUS_MAX)} "
    run = srun if number(wanted, "nodes", NODES_MAX) > 1 else ""
    return "\n".join([*lines, f"{build} || {failed}", f"{run}./cube-program {args}", ""])


# Verbs.


def submit(home: str, key: str) -> None:
    wanted = request()
    told, program, kept = limits(wanted), script(wanted), files(wanted)
    frame, bytes_max = text(wanted, "frame"), number(wanted, "outputBytesMax", OUTPUT_BYTES_MAX)
    must(frame, "frame", "there")
    if os.path.lexists(os.path.join(home, "removed", key)):
        raise Ended(DATA, "this key has been removed; it is not taken again")
    folder = os.path.join(home, key)
    with locked(folder):
        if os.path.lexists(os.path.join(folder, "cancelled")):
            raise Ended(DATA, "this key was cancelled before it was sent")
        # Without its script nothing was ever sent: then nobody needs to be asked, which takes time.
        has_script = os.path.lexists(os.path.join(folder, SCRIPT))
        job_id = known_id(home, key) if has_script else ""
        if not job_id:
            unpack(folder, kept)
            write(os.path.join(folder, "start.sh"), program.encode(errors="replace"))
            write(os.path.join(folder, "frame.py"), frame.encode(errors="replace"))
            job_id = sent(folder, key, told, bytes_max)
        if not text_of(os.path.join(folder, "id")):
            write(os.path.join(folder, "id"), job_id.encode())
    sys.stdout.write(job_id + "\n")


def known_id(home: str, key: str) -> str:
    """Return the number of a key's Slurm job; it is empty only where Slurm surely has none."""
    folder = os.path.join(home, key)
    told = text_of(os.path.join(folder, "id")) or note(os.path.join(folder, "begun")).get("id")
    if told:
        return str(told)
    here, trouble = queued(home, key)
    if trouble:
        raise Ended(UNAVAILABLE, trouble)
    found = here.get(key) or accounted(home, key).get(key)
    return found["id"] if found else ""


def unpack(folder: str, kept: dict[str, bytes]) -> None:
    inside = os.path.join(folder, "files")
    if os.path.lexists(inside):
        shutil.rmtree(inside)
    os.mkdir(inside, 0o700)
    for path, one in kept.items():
        place = os.path.join(inside, path)
        try:
            os.makedirs(os.path.dirname(place), 0o700, exist_ok=True)
            handle = opened(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except OSError as error:
            raise Ended(DATA, f"files: {path}: {error.strerror}") from None
        with os.fdopen(handle, "wb") as file:
            file.write(one)


def sent(folder: str, key: str, told: list[str], bytes_max: int) -> str:
    frame = ["/usr/bin/env", "python3", os.path.join(folder, "frame.py"), folder, str(bytes_max)]
    job = os.path.join(folder, SCRIPT)
    write(job, f"#!/bin/sh\nexec {' '.join(map(shlex.quote, frame))}\n".encode())
    place = ["-D", os.path.join(folder, "files"), "-o", os.path.join(folder, "log")]
    way = ["sbatch", "--parsable", "--no-requeue", "--open-mode=append"]
    said, trouble = ask(*way, "-J", OURS + key, *place, *told, job)
    if trouble:
        # It may have taken the job all the same: the next request asks for the name.
        is_down = any(one in trouble for one in ("ontact", "timed out", "emporar", "No such file"))
        raise Ended(UNAVAILABLE if is_down else DATA, trouble)
    return said.strip().partition(";")[0]


def states(home: str) -> None:
    """Tell of all our jobs in one answer, and of a partition's nodes."""
    partition = word(request(), "partition")
    place = ["-p", partition] if partition else []
    nodes, trouble = ask("sinfo", "-h", "-N", *place, "-o", "%N|%T|%G")
    here, why = queued(home)
    kept = {one for one in os.listdir(home) if KEY.match(one)}
    # Accounting is slow, and late: it is asked where the queue has forgotten somebody.
    there = accounted(home) if not why and kept - here.keys() else {}
    jobs = {}
    for key in sorted({*here, *kept}):
        told = facts(os.path.join(home, key), here.get(key), there.get(key))
        is_live = told["slurm"] is not None and told["slurm"]["state"] in LIVE
        is_gone = key not in kept and os.path.lexists(os.path.join(home, "removed", key))
        if told["id"] and (is_live or not is_gone):
            jobs[key] = told
    parts = [line.split("|") for line in nodes.splitlines()[:ROWS_MAX]]
    told = {"nodes": [one for one in parts if len(one) == 3], "jobs": jobs}
    sys.stdout.write(json.dumps({**told, "trouble": why or trouble}) + "\n")


def facts(folder: str, here: Row | None, there: Row | None) -> dict[str, Any]:
    """Return what is known of one job. Slurm forgets how it ended: that is kept beside it."""
    kept = note(os.path.join(folder, "last"))
    newest = here or kept or there
    is_over = bool(newest) and str((newest or {}).get("state")) not in LIVE
    if is_over and newest != kept and os.path.isdir(folder):
        write(os.path.join(folder, "last"), json.dumps(newest).encode())
    end, begun = note(os.path.join(folder, "end")), note(os.path.join(folder, "begun"))
    told = text_of(os.path.join(folder, "id")) or begun.get("id") or (newest or {}).get("id")
    return {
        "id": str(told or ""),
        "slurm": newest or None,
        "isQueued": here is not None,
        "begun": begun or None,
        "end": end or None,
        "isCancelled": os.path.lexists(os.path.join(folder, "cancelled")),
        "err": tail(os.path.join(folder, "err")) if end or is_over else "",
        "log": tail(os.path.join(folder, "log")) if end or is_over else "",
    }


def cancel(home: str, key: str) -> None:
    folder = os.path.join(home, key)
    if not os.path.isdir(folder):
        return
    with locked(folder):
        if os.path.lexists(os.path.join(folder, "end")):
            return
        write(os.path.join(folder, "cancelled"), b"")
        stop(key)


def stop(key: str) -> None:
    _, trouble = ask("scancel", "-u", str(os.getuid()), "-n", OURS + key)
    if trouble:
        raise Ended(UNAVAILABLE, trouble)


def remove(home: str, key: str) -> None:
    """End what runs under a key, and take away its folder. The key is never taken again."""
    os.makedirs(graves := os.path.join(home, "removed"), 0o700, exist_ok=True)
    write(os.path.join(graves, key), b"")
    stop(key)
    before_s = time.monotonic() + OVER_S
    while True:
        here, trouble = queued(home, key)
        if trouble:
            raise Ended(UNAVAILABLE, trouble)
        if key not in here or here[key]["state"] not in LIVE:
            break
        if time.monotonic() > before_s:
            raise Ended(AGAIN, "Slurm has not ended it yet")
        time.sleep(LOOK_S)
    folder = os.path.join(home, key)
    if os.path.isdir(folder):
        with locked(folder):
            shutil.rmtree(folder)
    for one in list(os.scandir(graves)):
        if time.time() - one.stat(follow_symlinks=False).st_mtime > TOMBSTONE_S:
            os.unlink(one.path)


def read(home: str, key: str, stream: str, offset: int) -> None:
    sys.stdout.buffer.write(content(os.path.join(home, key, stream), offset, READ_BYTES_MAX))


def follow(home: str, key: str, stream: str, offset: int) -> None:
    """Tell an output as it grows, until its job is over or nobody listens."""
    folder = os.path.join(home, key)
    before_s = time.monotonic() + FOLLOW_S
    while time.monotonic() < before_s:
        is_over = any(os.path.lexists(os.path.join(folder, one)) for one in ("end", "last"))
        part = content(os.path.join(folder, stream), offset, READ_BYTES_MAX)
        sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
        offset += len(part)
        if not part and (is_over or not os.path.isdir(folder)):
            return
        # The end of our input is the end of the connection.
        ready, _, _ = select.select([0], [], [], 0 if part else LOOK_S)
        if ready and not os.read(0, READ_BYTES_MAX):
            return
    raise Ended(MORE, "more may come: ask again from there on")


ON_KEYS = {"submit": submit, "cancel": cancel, "remove": remove}
ON_OUTPUTS = {"read": read, "follow": follow}


def carry_out(home: str, told: list[str]) -> None:
    """Do one request: a verb, a key, and for outputs a stream and an offset."""
    match told:
        case ["states"]:
            states(home)
        case [verb, key] if verb in ON_KEYS and KEY.match(key):
            ON_KEYS[verb](home, key)
        case [verb, key, stream, offset] if (
            verb in ON_OUTPUTS and KEY.match(key) and stream in STREAMS and OFFSET.match(offset)
        ):
            ON_OUTPUTS[verb](home, key, stream, int(offset))
        case _:
            raise Ended(USAGE, "no such request")


def main(argv: list[str]) -> int:
    os.umask(0o077)
    asked = os.environ.get("SSH_ORIGINAL_COMMAND", "")
    home = os.path.realpath(argv[0]) if argv else os.path.expanduser("~/cube")
    os.makedirs(home, 0o700, exist_ok=True)
    try:
        carry_out(home, asked.split(" ") if len(asked) <= COMMAND_CHARS_MAX else [])
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(UNAVAILABLE)
    except (Ended, OSError) as error:
        sys.stderr.write(f"cube-site: {error}\n")
        return getattr(error, "code", AGAIN)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
