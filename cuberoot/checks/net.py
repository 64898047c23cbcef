"""`cuberoot net check`: every node is asked how it reaches every other, in one table."""

from cubernetes.api.bodies.reach import PathReport, ReachReport
from cubernetes.host.env import Env
from cuberoot.apply import Say
from cuberoot.checks.kubelets import answers_of

FORM = "{:<12} {:<12} {:>9} {:>9} {:>9}  {}"


class PathsBlocked(Exception):
    """Not every node reaches every other; the table says which, and what blocks."""


async def check_net(env: Env, say: Say) -> None:
    """Raises: PathsBlocked, NotInitialised."""
    lines, bad = table(await answers_of(env, "/reach", ReachReport))
    for line in lines:
        say(line)
    if bad:
        raise PathsBlocked(f"{bad} of {len(lines) - 1} ways are not whole")


def table(answers: dict[str, ReachReport | str]) -> tuple[list[str], int]:
    """Return the lines to print, a title first, and how many of them tell of something bad."""
    lines, bad = [FORM.format("FROM", "TO", "NODE ms", "PODS ms", "PODS MTU", "BLOCKED")], 0
    for name, answer in sorted(answers.items()):
        if isinstance(answer, str):
            lines.append(FORM.format(name, "*", "-", "-", "-", answer))
            bad += 1
            continue
        for path in answer.paths:
            lines.append(_line(name, path))
            bad += bool(path.blocked)
    return lines, bad


def _line(name: str, path: PathReport) -> str:
    node, pods = (("-" if one is None else f"{one:.2f}") for one in (path.node_ms, path.pods_ms))
    return FORM.format(name, path.to, node, pods, path.pods_mtu or "-", path.blocked or "no")
