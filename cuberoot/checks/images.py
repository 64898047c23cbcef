"""`cuberoot images gc --dry-run`: which images each node would remove, in one table."""

from collections.abc import Mapping

from cubernetes.api.bodies.images import ImagesReport
from cubernetes.host.env import Env
from cuberoot.apply import Say
from cuberoot.checks.kubelets import answers_of, known_kubelets

PATH = "/images"
FORM = "{:<12} {:<5} {:>10} {:<48} {}"
MIB = 1 << 20


class NodesSilent(Exception):
    """Not every node told of its images; the table says which, and why."""


async def show_images(env: Env, say: Say) -> None:
    """Remove nothing. Raises: NodesSilent, NotInitialised."""
    answers = await answers_of(await known_kubelets(env), PATH, ImagesReport)
    for line in table(answers):
        say(line)
    if silent := sorted(name for name, got in answers.items() if isinstance(got, str)):
        raise NodesSilent(f"nodes that told nothing: {', '.join(silent)}")


def table(answers: Mapping[str, ImagesReport | str]) -> list[str]:
    """Return the lines to print: a title, then each node's disk and its images."""
    lines = [FORM.format("NODE", "GOES", "SIZE MiB", "IMAGE", "WHY")]
    for name, answer in sorted(answers.items()):
        if isinstance(answer, str):
            lines.append(FORM.format(name, "-", "-", "-", answer))
            continue
        lines += [
            FORM.format(name, one.goes, f"{one.size_bytes / MIB:.1f}", one.name, one.why).rstrip()
            for one in answer.images
        ]
        if answer.left_out:
            lines.append(f"{name}: {answer.left_out} more images are not shown")
        lines.append(_disk(name, answer))
    return lines


def _disk(name: str, answer: ImagesReport) -> str:
    percent = answer.used_bytes * 100 // max(1, answer.total_bytes)
    now = sum(one.size_bytes for one in answer.images if one.goes == "now")
    return (
        f"{name}: {percent}% of its disk is used; {answer.wanted_bytes / MIB:.1f} MiB are to be "
        f"freed now, {now / MIB:.1f} MiB would be"
    )
