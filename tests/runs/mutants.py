"""Plant small mistakes in the pure modules of a room and see which its unit tests do not notice.

`scripts/mutate ROOM`, where ROOM is a folder such as `scheduler` or `proxy/services`. mutmut does
it, on a copy: one mistake after another, so long as `--limit-s` allows. What survived is printed.
A survivor is a question, not a fault: some mistakes change nothing that anybody was promised.
"""

import argparse
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

from tests.house.sources import ROOT, of_rooms
from tests.house.test_layers import is_pure

LIMIT_S = 1800
MUTMUT = Path(sys.executable).with_name("mutmut")
CONFIG = """\
[mutmut]
source_paths = {top}/
only_mutate =
  {modules}
pytest_add_cli_args =
  -m
  not imports
pytest_add_cli_args_test_selection = {tests}
also_copy =
  {others}
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="mutate", description=__doc__)
    parser.add_argument("room")
    parser.add_argument("--limit-s", type=float, default=LIMIT_S)
    options = parser.parse_args()
    room = options.room.strip("/")
    modules = pure_modules(room)
    tests = tests_of(room)
    if not modules or tests is None:
        parser.error(f"{room}: has no pure module, or no unit tests")
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name)
        _copy_house(folder)
        (folder / "setup.cfg").write_text(_config(room, modules, tests, folder))
        is_whole = _plant(folder, options.limit_s)
        survivors = _told(folder)
    return 0 if is_whole and not survivors else 1


def pure_modules(room: str) -> list[str]:
    """Return the modules that decide: those that the contract of purity covers."""
    return [
        one.path
        for one in of_rooms()
        if is_pure(one) and one.path.startswith(f"{room}/") and one.stem != "__init__"
    ]


def tests_of(room: str) -> str | None:
    """Return the folder of the room's unit tests: `proxy/services` has those of `proxy`."""
    names = room.split("/")
    found = [f"tests/unit/{name}" for name in reversed(names)]
    return next((one for one in found if (ROOT / one).is_dir()), None)


def _copy_house(folder: Path) -> None:
    """Copy what git knows of, as it stands here: also what is not committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    ).stdout.split(b"\0")  # fmt: skip
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in listed:
            if path and (ROOT / path.decode()).is_file():
                archive.add(ROOT / path.decode(), path.decode())
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as archive:
        archive.extractall(folder, filter="data")


def _config(room: str, modules: list[str], tests: str, folder: Path) -> str:
    top = room.split("/", 1)[0]
    others = [one.name for one in sorted(folder.iterdir()) if one.is_dir() and one.name != top]
    return CONFIG.format(
        top=top, modules="\n  ".join(modules), tests=tests, others="\n  ".join(others)
    )


def _plant(folder: Path, limit_s: float) -> bool:
    """Run mutmut; False where its time was not enough, or it could not begin."""
    try:
        ended = subprocess.run(
            [MUTMUT, "run"], cwd=folder, timeout=limit_s, capture_output=True, check=False
        )
    except subprocess.TimeoutExpired:
        sys.stdout.write(f"no more than {limit_s:.0f} s: the counts are of what was tried\n")
        return False
    if ended.returncode:
        sys.stdout.write(ended.stdout.decode(errors="replace")[-4000:])
    return ended.returncode == 0


def _told(folder: Path) -> list[str]:
    """Print how each mistake ended, by number, and those that nobody noticed; return these."""
    ends: dict[str, list[str]] = {}
    for line in _mutmut(folder, "results", "--all", "true").splitlines():
        name, _, end = line.strip().partition(": ")
        ends.setdefault(end, []).append(name)
    survivors = ends.get("survived", []) + ends.get("no tests", [])
    for name in survivors:
        sys.stdout.write(_mutmut(folder, "show", name) + "\n")
    counts = ", ".join(f"{end} {len(names)}" for end, names in sorted(ends.items()))
    sys.stdout.write(f"{sum(map(len, ends.values()))} mistakes: {counts}\n")
    return survivors


def _mutmut(folder: Path, *words: str) -> str:
    ended = subprocess.run([MUTMUT, *words], cwd=folder, capture_output=True, check=False)
    return ended.stdout.decode(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
