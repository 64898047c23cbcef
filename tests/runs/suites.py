"""Runs the suites one after another and tells what each took, beside its budget.

`scripts/test` ends with it. tests/budget.toml names the suites; words on the command line go to
pytest. The last line counts all tests, as pytest would. A suite over its budget is told and fails
nothing: machines differ.
"""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Literal
from xml.etree import ElementTree

import msgspec

ROOT = Path(__file__).resolve().parents[2]
BUDGET = ROOT / "tests" / "budget.toml"
REPORTS = ROOT / "var" / "reports"
SLOWEST_COUNT = 10
# pytest's exit codes: tests failed, and no test was chosen.
FAILED, NONE_CHOSEN = 1, 5


class Suite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one suite may take, how many processes run its tests, and what each takes at a time."""

    seconds_max: int
    worker_count: int
    dist: Literal["load", "loadfile", "loadgroup"]


class Case(msgspec.Struct, frozen=True):
    """One test that ran, set up and torn down."""

    name: str
    outcome: str
    took_s: float


class Run(msgspec.Struct, frozen=True):
    """What became of one suite."""

    suite: str
    took_s: float
    code: int
    cases: tuple[Case, ...]


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/test", description=__doc__)
    parser.add_argument("--before-s", type=float, default=0.0, help="what was spent before this")
    options, words = parser.parse_known_args()
    # A terminal interrupts both: pytest takes down what it has made, and this waits for it.
    signal.signal(signal.SIGINT, lambda *_: None)
    begun = time.monotonic()
    suites = read_budget(BUDGET.read_bytes())
    runs: list[Run] = []
    for name, suite in suites.items():
        sys.stdout.write(f"test: {name}\n")
        sys.stdout.flush()
        runs.append(ran(name, suite, words))
        if runs[-1].code not in (0, FAILED, NONE_CHOSEN):
            break
    took_s = options.before_s + time.monotonic() - begun
    sys.stdout.write("\n".join(told(runs, suites, options.before_s, took_s)) + "\n")
    return code_of(runs)


def read_budget(content: bytes) -> dict[str, Suite]:
    return msgspec.toml.decode(content, type=dict[str, Suite])


def ran(name: str, suite: Suite, words: Sequence[str]) -> Run:
    """Run one suite in a process of its own, which alone answers interrupts."""
    report = REPORTS / f"{name}.xml"
    report.unlink(missing_ok=True)
    argv = [
        sys.executable, "-m", "pytest", "-q", "-ra", f"tests/{name}",
        # In the order of the files, not of how many tests each has: few may take long.
        "-n", str(suite.worker_count), "--dist", suite.dist, "--no-loadscope-reorder",
        f"--junitxml={report}", "-o", "junit_duration_report=total", *words,
    ]  # fmt: skip
    begun = time.monotonic()
    child = subprocess.Popen(argv, cwd=ROOT)

    def end(_signal: int, _frame: FrameType | None) -> None:
        child.terminate()

    signal.signal(signal.SIGTERM, end)
    code = child.wait()
    cases = tuple(cases_of(report.read_text())) if report.exists() else ()
    return Run(name, time.monotonic() - begun, code, cases)


def cases_of(report: str) -> Iterator[Case]:
    """Yield the tests of a report in JUnit's form, the way pytest writes it."""
    for one in ElementTree.fromstring(report).iter("testcase"):  # noqa: S314  we wrote it ourselves
        told = {each.tag for each in one}
        if told & {"failure", "error"}:
            outcome = "failed"
        else:
            outcome = "skipped" if "skipped" in told else "passed"
        name = f"{one.get('classname')}::{one.get('name')}"
        yield Case(name, outcome, float(one.get("time", "0")))


def told(
    runs: Sequence[Run], suites: Mapping[str, Suite], before_s: float, took_s: float
) -> Iterator[str]:
    """Yield the lines that end a run: the slowest, each suite's time, what is over, the counts."""
    cases = [case for run in runs for case in run.cases]
    yield "\nthe slowest tests:"
    for case in sorted(cases, key=lambda one: -one.took_s)[:SLOWEST_COUNT]:
        yield f"{case.took_s:8.1f} s  {case.name}"
    yield f"\n{'suite':<12}{'tests':>7}{'seconds':>9}{'budget':>8}"
    yield f"{'before':<12}{'':>7}{before_s:>9.0f}"
    for run in runs:
        budget = suites[run.suite].seconds_max
        yield f"{run.suite:<12}{len(run.cases):>7}{run.took_s:>9.0f}{budget:>8}"
    for run in runs:
        budget = suites[run.suite].seconds_max
        if run.took_s > budget:
            yield (
                f"test: OVER BUDGET: {run.suite} took {run.took_s:.0f} s,"
                f" and tests/budget.toml gives it {budget}"
            )
    unfinished = [run for run in runs if run.code not in (0, FAILED, NONE_CHOSEN)]
    for run in unfinished:
        yield f"test: {run.suite} did not come to its end: pytest ended with {run.code}"
    for name in [name for name in suites if name not in {run.suite for run in runs}]:
        yield f"test: {name} was not run"
    yield from (f"FAILED {case.name}" for case in cases if case.outcome == "failed")
    counts = [
        f"{count} {outcome}"
        for outcome in ("failed", "passed", "skipped")
        if (count := sum(case.outcome == outcome for case in cases))
    ]
    minutes, seconds = divmod(round(took_s), 60)
    span = f"{took_s:.0f} s ({minutes}:{seconds:02})"
    yield f"===== {', '.join(counts) or 'no tests'} in {span} ====="


def code_of(runs: Sequence[Run]) -> int:
    """Return pytest's exit code for all runs together: 0 only where nothing went wrong."""
    wrong = [run.code for run in runs if run.code not in (0, NONE_CHOSEN)]
    if wrong:
        # A signal that ended a run is a negative code.
        return wrong[-1] if wrong[-1] > 0 else FAILED
    return 0 if any(run.code == 0 for run in runs) else NONE_CHOSEN


if __name__ == "__main__":
    sys.exit(main())
