#!/usr/bin/env python3
"""Slurm's commands on paper, for cube-site: which one it is says the name by which it is called.

A job is a row in a file of a folder; a test moves it from state to state. `down` there is a
controller that does not answer, `dies` an sbatch that is killed: before, or after it took the job.
"""

import fcntl
import json
import os
import sys
from pathlib import Path


def main() -> int:
    place = Path(sys.argv[0]).absolute()
    folder = place.parent.parent
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (folder / "asked").open("a") as asked:
            asked.write(place.name + "\n")
        return VERBS[place.name](folder, sys.argv[1:])


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1] if name in words else ""


def rows(folder: Path) -> list[dict[str, str]]:
    path = folder / "rows"
    return json.loads(path.read_text()) if path.exists() else []


def answers(folder: Path) -> bool:
    if (folder / "down").exists():
        sys.stderr.write("slurm: Unable to contact slurm controller (connect failure)\n")
        return False
    return True


def sbatch(folder: Path, words: list[str]) -> int:
    if not answers(folder):
        return 1
    dies = (folder / "dies").read_text() if (folder / "dies").exists() else ""
    with (folder / "calls").open("a") as calls:
        calls.write(json.dumps(words) + "\n")
    if "--gres=gpu:64" in words:
        sys.stderr.write("sbatch: error: Requested node configuration is not available\n")
        return 1
    known = rows(folder)
    row = {"id": str(len(known) + 1), "name": option(words, "-J"), "dir": option(words, "-D")}
    if dies != "before":
        row |= {"state": "PENDING", "node": "", "reason": "Priority", "exit": "0:0"}
        (folder / "rows").write_text(json.dumps([*known, row]))
    if dies:
        (folder / "dies").unlink()
        os.kill(os.getppid(), 9)
        os.kill(os.getpid(), 9)
    sys.stdout.write(row["id"] + "\n")
    return 0


def squeue(folder: Path, words: list[str]) -> int:
    # Its exit code is 0 all the same.
    if not answers(folder):
        return 0
    name = option(words, "-n")
    for row in rows(folder):
        if row["state"] != "FORGOTTEN" and name in ("", row["name"]):
            order = ("id", "name", "state", "node", "reason", "dir")
            sys.stdout.write("|".join(row[one] for one in order) + "\n")
    return 0


def sacct(folder: Path, words: list[str]) -> int:
    name = option(words, "--name")
    for row in rows(folder):
        if "accounted" in row and name in ("", row["name"]):
            told = {**row, "state": row["accounted"]}
            order = ("id", "name", "state", "node", "reason", "exit", "dir")
            sys.stdout.write("|".join(told[one] for one in order) + "\n")
    return 0


def scancel(folder: Path, words: list[str]) -> int:
    if not answers(folder):
        return 1
    known = rows(folder)
    for row in known:
        if row["name"] == option(words, "-n") and row["state"] in ("PENDING", "RUNNING"):
            row["state"] = "CANCELLED"
    (folder / "rows").write_text(json.dumps(known))
    return 0


def sinfo(folder: Path, _: list[str]) -> int:
    if answers(folder):
        sys.stdout.write("g1|idle|gpu:h200:2(S:0)\ng2|drained|gpu:h200:8\n")
    return 0


VERBS = {"sbatch": sbatch, "squeue": squeue, "sacct": sacct, "scancel": scancel, "sinfo": sinfo}

if __name__ == "__main__":
    sys.exit(main())
