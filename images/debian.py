"""Programs of a newer Debian suite, unpacked and never installed: what an image needs of them.

apt has lists of its own here, beside those of this machine, and trusts Debian's archive key alone.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

MIRROR = "http://deb.debian.org/debian"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
UPDATE_S, DOWNLOAD_S, TOOL_S = 300, 300, 60
LOADER = "lib64/ld-linux-x86-64.so.2"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
_URI = re.compile(r"https?://\S+/debian/?(?=\s|$)", re.MULTILINE)
_NEEDED = re.compile(r"\(NEEDED\)\s+Shared library: \[([^\]]+)\]")


class CannotGet(Exception):
    """A package could not be had; the text says why."""


def unpacked(suite: str, packages: Iterable[str], work: Path) -> Path:
    """Return a folder that holds the packages of a suite and all that they depend on.

    Raises: CannotGet.
    """
    if shutil.which("apt-get") is None or not KEYRING.exists():
        raise CannotGet("needs apt-get and the package debian-archive-keyring")
    root, archives = work / "root", work / "archives"
    for folder in (root, archives / "partial", work / "lists" / "partial"):
        folder.mkdir(parents=True)
    (work / "status").touch()
    (work / "sources").write_text(f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n")
    options = _options(work)
    _run(["apt-get", *options, "-qq", "update"], UPDATE_S)
    wish = ["--no-install-recommends", "--download-only", "--yes", "-qq", "install", *packages]
    _run(["apt-get", *options, *wish], DOWNLOAD_S)
    for archive in sorted(archives.glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(archive), str(root)], TOOL_S)
    return root


def mirror() -> str:
    """Return the mirror that this machine uses, where it is a Debian; else the usual one."""
    for path in SOURCES:
        found = _URI.search(path.read_text()) if path.exists() else None
        if found is not None:
            return found[0]
    return MIRROR


def needed_by(program: Path, root: Path) -> Iterator[Path]:
    """Yield the shared libraries that a program loads, and those that they load.

    Raises: CannotGet.
    """
    seen: set[str] = set()
    waiting = [program]
    while waiting:
        for name in _NEEDED.findall(_run(["readelf", "-d", str(waiting.pop())], TOOL_S)):
            # The loader is not a library, and stands at a path of its own.
            if name in seen or name.startswith("ld-linux"):
                continue
            seen.add(name)
            library = root / LIBRARIES / name
            if not library.exists():
                raise CannotGet(f"the library {name} is in none of the packages")
            waiting.append(library)
            yield library


def _options(work: Path) -> list[str]:
    settings = {
        "Dir::Etc::SourceList": work / "sources",
        "Dir::Etc::SourceParts": "-",
        "Dir::State::Lists": work / "lists",
        "Dir::State::status": work / "status",
        "Dir::Cache": work,
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "1",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _run(argv: list[str], deadline_s: int) -> str:
    try:
        ended = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=deadline_s)
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise CannotGet(f"{argv[0]}: {said[-1] if said else 'it failed'}") from error
    return ended.stdout
