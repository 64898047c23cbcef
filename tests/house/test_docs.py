"""What papers say is so: links lead somewhere, commands exist, excerpts are from the house."""

import json
import re
import tomllib
from collections.abc import Iterator

import pytest

from tests.house.sources import ROOT, files, none, sources

PAPERS = [path for path in files() if path.endswith(".md")]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
# What a reader can run from a checkout.
SCRIPT = re.compile(r"(?:sudo )?(?:\./)?(scripts/[\w-]+|\.ci/run)\b")
MODULE = re.compile(r"\bpython3? -m ([\w.]+)")
WORD = re.compile(r"^(?:sudo )?(?:\.venv/bin/)?(cubectl|cuberoot) +(?:-n \S+ +)?([a-z][a-z-]*)\b")
# Sentences of papers of other houses: what a comment cites must be here.
CITED = re.compile(r"\b([A-Z][A-Z_]{3,}\.md)\b")


def anchors(path: str) -> set[str]:
    """Return the places of a page that a link can name, as GitHub makes them of titles."""
    titles = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.replace(" ", "-") for title in plain}


@pytest.mark.parametrize("path", PAPERS)
def test_every_link_leads_somewhere(path: str) -> None:
    broken = []
    for target in LINK.findall((ROOT / path).read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        place, _, anchor = target.partition("#")
        found = (ROOT / path).parent / place if place else ROOT / path
        if not found.exists():
            broken.append(f"{path}: {target}")
        elif anchor and anchor not in anchors(found.resolve().relative_to(ROOT).as_posix()):
            broken.append(f"{path}: {target} (no such title)")
    none(broken, "mend the link")


def commands(path: str) -> Iterator[str]:
    """Yield what a page shows as code: each line of shell blocks, each word in backquotes."""
    page = (ROOT / path).read_text()
    for language, block in FENCE.findall(page):
        if language in ("", "sh", "console"):
            yield from (line.removeprefix("$ ") for line in block.splitlines())
    yield from CODE.findall(FENCE.sub("", page))


@pytest.mark.parametrize("path", PAPERS)
def test_every_command_exists(path: str) -> None:
    modules = {one.module for one in sources()}
    runnable = modules | {one.removesuffix(".__main__") for one in modules} | {"venv", "pytest"}
    wrong = []
    for command in commands(path):
        wrong += [one for one in SCRIPT.findall(command) if not (ROOT / one).is_file()]
        wrong += [one for one in MODULE.findall(command) if one not in runnable]
    none(wrong, "no such command")


@pytest.mark.parametrize("path", PAPERS)
def test_every_verb_exists(path: str) -> None:
    """`cubectl` and `cuberoot` are asked for their verbs, as a reader would be refused."""
    from cubectl.registry import VERBS
    from cuberoot.cli import main

    known = {"cubectl": {verb.name for verb in VERBS}, "cuberoot": set(main.commands)}
    wrong = [
        command
        for command in commands(path)
        if (match := WORD.match(command)) and match[2] not in known[match[1]]
    ]
    none(wrong, "no such verb")


def test_the_excerpts_of_the_style_are_from_the_house() -> None:
    lines = {line.strip() for one in sources() for line in one.lines}
    page = (ROOT / "docs" / "STYLE.md").read_text()
    excerpts = [block for language, block in FENCE.findall(page) if language == "python"]
    strange = [
        line for block in excerpts for line in block.splitlines() if line.strip() not in lines
    ]
    none([line for line in strange if line.strip()], "the house has moved on: take what is there")


def test_what_a_comment_cites_is_here() -> None:
    papers = {path.rpartition("/")[2] for path in PAPERS}
    lost = [
        f"{one.path}: {cited}"
        for one in sources()
        for cited in sorted(set(CITED.findall(one.text)))
        if cited not in papers
    ]
    none(lost, "say it here, or bring the paper")


def test_the_lock_holds_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        "requirements.lock": project["dependencies"],
        "requirements-dev.lock": project["dependencies"] + project["optional-dependencies"]["dev"],
    }
    lacking = []
    for lock, requirements in wanted.items():
        locked = {
            re.sub(r"[-_.]+", "-", name.lower())
            for name in re.findall(r"^([\w.-]+)==", (ROOT / lock).read_text(), re.MULTILINE)
        }
        names = [re.split(r"[<>=!~\[; ]", each, maxsplit=1)[0].lower() for each in requirements]
        lacking += [f"{lock}: {name}" for name in names if name not in locked]
    none(lacking, "run scripts/lock")


def test_every_locked_file_has_a_hash() -> None:
    bare = []
    for lock in ("requirements.lock", "requirements-dev.lock"):
        blocks = re.split(r"\n(?=\w)", (ROOT / lock).read_text())
        bare += [
            block.split("\n")[0] for block in blocks if "==" in block and "--hash=" not in block
        ]
    none(bare, "run scripts/lock")


def test_the_changelog_names_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(), json.dumps(version)
