"""The tools of `cubectl debug`: what looks at networks, processes and files, as Debian has them.

py-spy is in no Debian: it comes from PyPI, by its digest.
"""

import hashlib
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from images.debian import CannotGet, unpacked

SUITE = "trixie"
PACKAGES = (
    "base-files", "bash", "coreutils", "dash", "debianutils", "diffutils", "findutils", "grep",
    "gzip", "hostname", "less", "mawk", "ncurses-base", "procps", "sed", "tar", "util-linux",
    "bind9-dnsutils", "ca-certificates", "conntrack", "curl", "ethtool", "iproute2",
    "iputils-ping", "jq", "mtr-tiny", "netcat-openbsd", "nftables", "socat", "tcpdump",
    "gdb", "lsof", "strace",
)  # fmt: skip
PY_SPY = "py-spy==0.4.1"
PY_SPY_SHA256 = "6a80ec05eb8a6883863a367c6a4d4f2d57de68466f7956b6367d4edd5c61bb29"
PY_SPY_PATH = re.compile(r"py_spy-[^/]+\.data/scripts/py-spy")
DOWNLOAD_S = 120
# What the packages' own scripts would make, and programs look for.
LINKS = (
    ("usr/bin/awk", "mawk"),
    ("usr/bin/nc", "nc.openbsd"),
    ("usr/bin/pager", "less"),
    ("usr/bin/sh", "dash"),
    ("bin", "usr/bin"),
    ("sbin", "usr/sbin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
)
# tcpdump becomes its own user once it has its socket.
PASSWD = (
    b"root:x:0:0:root:/root:/bin/bash\ntcpdump:x:100:100::/tmp:/bin/false\n"
    b"plain:x:65532:65532::/tmp:/bin/bash\n"
)
GROUP = b"root:x:0:\ntcpdump:x:100:\nplain:x:65532:\n"
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_LEFT_OUT = re.compile(
    r"usr/share/(?:doc|man|info|locale|lintian|bash-completion|bug|gdb/auto-load/usr/share)/"
    r"|usr/lib/x86_64-linux-gnu/(?:gconv|perl[^/]*)/|usr/lib/python[^/]*/(?:test|idlelib|ensurepip)/"
    r"|usr/(?:include|src)/|var/|\.pyc$|usr/share/perl"
)


def unpacked_tools(work: Path) -> Path:
    """Return a folder that holds the tools and all that they depend on.

    Raises: CannotGet.
    """
    root = unpacked(SUITE, PACKAGES, work / "debian")
    (root / "usr/bin/py-spy").write_bytes(py_spy(work))
    (root / "usr/bin/py-spy").chmod(0o755)
    certificates = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    (root / BUNDLE).parent.mkdir(parents=True, exist_ok=True)
    (root / BUNDLE).write_bytes(b"".join(one.read_bytes() for one in certificates))
    return root


def py_spy(work: Path) -> bytes:
    """Return the program py-spy of a wheel of PyPI's. Raises: CannotGet."""
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    argv += ["--only-binary", ":all:", "--platform", "manylinux1_x86_64"]
    try:
        subprocess.run(
            [*argv, "--dest", str(work), PY_SPY], check=True, capture_output=True, text=True,
            timeout=DOWNLOAD_S,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise CannotGet(f"{PY_SPY}: {said[-1] if said else 'it failed'}") from error
    (wheel,) = work.glob("py_spy-*.whl")
    return program_in(wheel)


def program_in(wheel: Path) -> bytes:
    """Return the program of py-spy's wheel. Raises: CannotGet: it is not the one that is meant."""
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != PY_SPY_SHA256:
        raise CannotGet(f"{wheel.name} is not the file that was expected")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if PY_SPY_PATH.fullmatch(one))
        return archive.read(name)


def files_of(root: Path) -> Iterator[tuple[str, Path, int, str]]:
    """Yield what goes into the image: path, file, mode, and what a link leads to."""
    made = {path for path, _ in LINKS}
    for one in sorted(root.rglob("*")):
        path = str(one.relative_to(root))
        if path in made or _LEFT_OUT.search(path):
            continue
        if one.is_symlink():
            yield path, one, 0o777, str(one.readlink())
        elif one.is_file():
            yield path, one, 0o755 if one.stat().st_mode & 0o100 else 0o644, ""
