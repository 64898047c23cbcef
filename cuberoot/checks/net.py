"""`cuberoot net check`: every node is asked how it reaches every other, in one table."""

from collections.abc import Mapping
from itertools import islice
from urllib.parse import urlencode

from cubernetes.api.bodies.reach import PathReport, RateReport, ReachReport, SinkReport
from cubernetes.host.env import Env
from cuberoot.apply import Say
from cuberoot.checks.kubelets import Kubelets, answers_of, known_kubelets

FORM, RATED = "{:<12} {:<12} {:>9} {:>9} {:>9}  {}", "{:<12} {:<12} {:>9} {:>9} {:>9} {:>9}  {}"
# Each takes a second or two, one after the other.
RATES_MAX = 90

type Rates = Mapping[tuple[str, str], str]
type Answers = Mapping[str, ReachReport | str]


class PathsBlocked(Exception):
    """Not every node reaches every other; the table says which, and what blocks."""


async def check_net(env: Env, say: Say, *, throughput: bool = False) -> None:
    """Raises: PathsBlocked, NotInitialised."""
    kubelets = await known_kubelets(env)
    answers = await answers_of(kubelets, "/reach", ReachReport)
    rates = await _rates(kubelets, answers) if throughput else None
    lines, bad = table(answers, rates)
    for line in lines:
        say(line)
    whole = whole_ways(answers)
    if rates is not None and len(rates) < len(whole):
        say(f"throughput of {len(whole) - len(rates)} more ways was not measured")
    if bad:
        raise PathsBlocked(f"{bad} of {len(lines) - 1} ways are not whole")


def whole_ways(answers: Answers) -> list[tuple[str, str]]:
    """Return the ways from node to node that nothing blocks."""
    return [
        (name, path.to)
        for name, answer in sorted(answers.items())
        if isinstance(answer, ReachReport)
        for path in answer.paths
        if not path.blocked
    ]


async def _rates(kubelets: Kubelets, answers: Answers) -> Rates:
    """Measure one way after the other: two at once would share a cable."""
    ways = islice(whole_ways(answers), RATES_MAX)
    return {(name, to): await _rate(kubelets, name, to) for name, to in ways}


async def _rate(kubelets: Kubelets, name: str, to: str) -> str:
    """Return megabits a second, or why they are not known."""
    if to not in kubelets.nodes:
        return "its node has gone"
    sink = await kubelets.ask(to, f"/reach/sink?{urlencode({'from': name})}", SinkReport)
    if isinstance(sink, str):
        return sink
    query = urlencode({"to": to, "port": sink.port, "token": sink.token})
    found = await kubelets.ask(name, f"/reach/throughput?{query}", RateReport)
    return found if isinstance(found, str) else told_rate(found)


def told_rate(found: RateReport) -> str:
    if found.why or not found.span_s:
        return found.why or "nothing arrived"
    return f"{found.got_bytes * 8 / found.span_s / 1e6:.0f}"


def table(answers: Answers, rates: Rates | None = None) -> tuple[list[str], int]:
    """Return the lines to print, a title first, and how many of them tell of something bad.

    rates: megabits a second by way, or why they are not known; None: they were not asked for.
    """
    lines, bad = [_joined("FROM", "TO", ("NODE ms", "PODS ms", "PODS MTU"), "BLOCKED", rates)], 0
    for name, answer in sorted(answers.items()):
        if isinstance(answer, str):
            lines.append(_joined(name, "*", ("-", "-", "-"), answer, rates, "-"))
            bad += 1
            continue
        for path in answer.paths:
            rate = (rates or {}).get((name, path.to), "-")
            why = "" if rate.isdigit() or rate == "-" else f"throughput: {rate}"
            told = path.blocked or why or "no"
            lines.append(_joined(name, path.to, _numbers(path), told, rates, "-" if why else rate))
            bad += bool(path.blocked or why)
    return lines, bad


def _numbers(path: PathReport) -> tuple[str, str, str]:
    node, pods = (("-" if one is None else f"{one:.2f}") for one in (path.node_ms, path.pods_ms))
    return node, pods, str(path.pods_mtu or "-")


def _joined(
    name: str,
    to: str,
    numbers: tuple[str, str, str],
    told: str,
    rates: Rates | None,
    rate: str = "Mbit/s",
) -> str:
    if rates is None:
        return FORM.format(name, to, *numbers, told)
    return RATED.format(name, to, *numbers, rate, told)
