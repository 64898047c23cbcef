"""What tests may take: every suite has a budget, the sum a bound, and the end tells the truth."""

import pytest

from tests.house.sources import ROOT, sources
from tests.runs.suites import BUDGET, Case, Run, Suite, cases_of, code_of, read_budget, told

# Forty minutes on two cores, less what the set-up and the static checks take.
SUM_MAX_S = 40 * 60 - 180
SUITES = {"unit": Suite(100, 2, "load"), "e2e": Suite(900, 2, "loadfile")}
REPORT = """<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite tests="4">
<testcase classname="tests.unit.test_a" name="test_well[x]" time="1.250" />
<testcase classname="tests.unit.test_a" name="test_ill" time="3.000">
<failure>no</failure></testcase>
<testcase classname="tests.unit.test_a" name="test_torn" time="2.000"><error>no</error></testcase>
<testcase classname="tests.unit.test_a" name="test_not_here"><skipped>no root</skipped></testcase>
</testsuite></testsuites>"""


def a_run(suite: str = "unit", took_s: float = 10, code: int = 0, *cases: Case) -> Run:
    return Run(suite, took_s, code, cases)


def lines_of(*runs: Run) -> list[str]:
    return list(told(runs, SUITES, 60, 60 + sum(one.took_s for one in runs)))


def test_every_suite_has_a_budget_and_all_together_stay_below_forty_minutes() -> None:
    suites = read_budget(BUDGET.read_bytes())

    folders = {one.path.split("/")[1] for one in sources() if one.stem.startswith("test_")}
    assert set(suites) == folders
    assert sum(one.seconds_max for one in suites.values()) <= SUM_MAX_S
    assert all((ROOT / "tests" / name).is_dir() for name in suites)


def test_a_report_tells_what_became_of_each_test() -> None:
    assert list(cases_of(REPORT)) == [
        Case("tests.unit.test_a::test_well[x]", "passed", 1.25),
        Case("tests.unit.test_a::test_ill", "failed", 3.0),
        Case("tests.unit.test_a::test_torn", "failed", 2.0),
        Case("tests.unit.test_a::test_not_here", "skipped", 0.0),
    ]


def test_the_last_line_counts_all_tests_and_the_failed_ones_are_named_above_it() -> None:
    unit = a_run("unit", 90, 1, *cases_of(REPORT))
    e2e = a_run("e2e", 600, 0, Case("tests.e2e.test_b::test_slow", "passed", 70.0))

    lines = lines_of(unit, e2e)

    assert lines[-1] == "===== 2 failed, 2 passed, 1 skipped in 750 s (12:30) ====="
    assert lines[-3:-1] == [
        "FAILED tests.unit.test_a::test_ill",
        "FAILED tests.unit.test_a::test_torn",
    ]
    assert not any("OVER BUDGET" in line for line in lines)


def test_the_ten_slowest_of_all_suites_are_told_the_slowest_first() -> None:
    unit = a_run("unit", 9, 0, *(Case(f"u{number}", "passed", number) for number in range(8)))
    e2e = a_run("e2e", 9, 0, *(Case(f"e{number}", "passed", number + 0.5) for number in range(8)))

    lines = lines_of(unit, e2e)

    names = [line.split()[-1] for line in lines if line.split()[1:2] == ["s"]]
    assert names == ["e7", "u7", "e6", "u6", "e5", "u5", "e4", "u4", "e3", "u3"]


def test_a_suite_over_its_budget_is_told_with_the_figures_and_fails_nothing() -> None:
    run = a_run("unit", 130, 0, Case("a", "passed", 1.0))

    over = [line for line in lines_of(run) if "OVER BUDGET" in line]

    assert over == ["test: OVER BUDGET: unit took 130 s, and tests/budget.toml gives it 100"]
    assert code_of([run]) == 0


def test_what_did_not_come_to_its_end_or_was_not_run_is_told() -> None:
    lines = lines_of(a_run("unit", 5, 2))

    assert "test: unit did not come to its end: pytest ended with 2" in lines
    assert "test: e2e was not run" in lines
    assert lines[-1].startswith("===== no tests in ")


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ((0, 0), 0),
        ((0, 1), 1),
        ((1, 0), 1),
        ((0, 5), 0),
        ((5, 5), 5),
        ((1, 5), 1),
        ((0, 2), 2),
        ((1, 2), 2),
        ((0, -9), 1),
    ],
)
def test_one_failure_anywhere_fails_the_whole(codes: tuple[int, ...], code: int) -> None:
    assert code_of([a_run("unit", 1, one) for one in codes]) == code
