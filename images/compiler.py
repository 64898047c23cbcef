"""Debian's C++ compiler, without what no job of a CPU stand-in needs."""

import re
from collections.abc import Iterator
from pathlib import Path

from images.debian import unpacked

SUITE, VERSION = "trixie", "14"
# What `c++` builds, links and runs with, as paths of the packages' root.
LINKS = (
    ("usr/bin/c++", f"x86_64-linux-gnu-g++-{VERSION}"),
    ("usr/bin/as", "x86_64-linux-gnu-as"),
    ("usr/bin/ld", "x86_64-linux-gnu-ld"),
    # What the packages of a Debian find below /lib.
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
)
_KEPT = re.compile(
    r"usr/(?:include/|lib64/|lib/gcc/|lib/linux/uapi/x86/|lib/x86_64-linux-gnu/|libexec/gcc/"
    r"|bin/x86_64-linux-gnu-(?:g\+\+-\d+|as|ld|ld\.bfd)$)"
)
_LEFT_OUT = re.compile(
    r"/(?:lto1|cc1|lto-wrapper|g\+\+-mapper-server|gcov[^/]*|lib[a-z]+san[^/]*"
    r"|libgprofng[^/]*|plugin/.*|install-tools/.*|gconv/.*|audit/.*|libc\.a|libstdc\+\+fs\.a"
    r"|libstdc\+\+exp\.a|[^/]*\.py|[^/]*_pic\.a|libitm[^/]*|libquadmath[^/]*|libperl[^/]*"
    r"|perl[^/]*/.*)$"
)


def unpacked_compiler(work: Path) -> Path:
    """Return a folder that holds the compiler and all that it depends on.

    Raises: CannotGet.
    """
    return unpacked(SUITE, [f"g++-{VERSION}"], work)


def files_of(root: Path) -> Iterator[tuple[str, Path, int, str]]:
    """Yield what goes into the image: path, file, mode, and what a link leads to."""
    for one in sorted(root.rglob("*")):
        path = str(one.relative_to(root))
        if not _KEPT.match(path) or _LEFT_OUT.search(path):
            continue
        if one.is_symlink():
            yield path, one, 0o777, str(one.readlink())
        elif one.is_file():
            yield path, one, 0o755 if one.stat().st_mode & 0o100 else 0o644, ""
