"""Build the images of the lab, the tour and the tests: one `docker load`able tar each.

An image is a manifest, a configuration and one layer, all of them plain files in a tar: writing it
here needs no Docker daemon, takes a moment, and gives the same bytes every time.
"""

import hashlib
import io
import json
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from images import compiler, tools
from images.debian import LIBRARIES, LOADER, CannotGet, needed_by, unpacked

HERE = Path(__file__).resolve().parent
RUNNER_FOLDER = HERE.parent / "serverless" / "runtime"
OUTPUT = HERE.parent / "var" / "images"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# Owner of nothing: what "nobody but not the kernel's nobody" is called in most images.
PLAIN_USER = "65532:65532"
COMPILE = ("gcc", "-O2", "-std=c17", "-Wall", "-Wextra", "-Werror", "-static", "-s")
COMPILE_DEADLINE_S = 120
# The gateway's nginx keeps no connection to a service (`keepalive 0`), since 1.29.7, and knows
# `sticky`, since 1.29.6, and `ssl_certificate_cache`, since 1.27.4.
NGINX_SUITE, NGINX_OLDEST = "sid", (1, 29, 7)
PYTHON_SUITE = "trixie"
# The runner of functions, as it lies in the house and, below /opt, in its image.
RUNNER = (
    "serverless/__init__.py",
    *(f"serverless/runtime/{one.name}" for one in sorted(RUNNER_FOLDER.glob("*.py"))),
)
# Of the standard library, what no function needs.
LEFT_OUT = frozenset({"test", "pydoc_data", "idlelib", "ensurepip", "turtledemo"})
COMPILE_ALL_S = 300


@dataclass(frozen=True)
class Entry:
    """One file, folder or link of a layer."""

    path: str
    content: bytes = b""
    mode: int = 0o755
    link: str = ""
    is_folder: bool = False


@dataclass(frozen=True)
class Image:
    """What becomes `cubernetes/<name>:1`. sources is everything its layer is made from."""

    name: str
    sources: tuple[Path, ...]
    layer: Callable[[], Sequence[Entry]]
    config: Mapping[str, object] = field(default_factory=dict)
    # Without it the tour and most tests go on: what it is made from must be fetched.
    is_optional: bool = False
    # Large, and wanted by few: it lies in a folder beside those that every lab's node is given.
    is_apart: bool = False
    # Built only where it is asked for by its name.
    is_by_name: bool = False

    @property
    def tag(self) -> str:
        return f"cubernetes/{self.name}:1"


def compiled(name: str, *flags: str) -> bytes:
    """Return the stripped static binary of images/<name>/<name>.c."""
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder, name)
        source = HERE / name / f"{name}.c"
        argv = [*COMPILE, *flags, "-o", str(binary), str(source)]
        subprocess.run(argv, check=True, timeout=COMPILE_DEADLINE_S)
        return binary.read_bytes()


def pause_layer() -> list[Entry]:
    return [Entry("pause", compiled("pause", "-Os", "-nostdlib", "-fno-stack-protector"))]


def web_layer() -> list[Entry]:
    return [Entry("web", compiled("web"))]


def stress_layer() -> list[Entry]:
    return [Entry("stress", compiled("stress")), Entry("tmp", mode=0o1777, is_folder=True)]


def busybox_path() -> Path:
    """Return the static busybox of this machine.

    Raises:
        SystemExit: there is none.
    """
    found = shutil.which("busybox")
    if found is None:
        raise SystemExit("build-images: no busybox: apt-get install busybox-static")
    return Path(found).resolve()


def busybox_layer() -> list[Entry]:
    listing = subprocess.run(
        [str(busybox_path()), "--list"], check=True, capture_output=True, timeout=10
    )
    applets = sorted(set(listing.stdout.decode().split()) - {"busybox"})
    folders = ["bin", "dev", "etc", "home", "proc", "root", "sys", "usr", "usr/bin", "var"]
    return [
        *(Entry(name, is_folder=True) for name in folders),
        Entry("tmp", mode=0o1777, is_folder=True),
        Entry(
            "etc/passwd",
            b"root:x:0:0:root:/root:/bin/sh\nplain:x:65532:65532::/tmp:/bin/sh\n",
            0o644,
        ),
        Entry("etc/group", b"root:x:0:\nplain:x:65532:\n", 0o644),
        Entry("bin/busybox", busybox_path().read_bytes()),
        *(Entry(f"bin/{name}", link="busybox") for name in applets),
        Entry("usr/bin/env", link="../../bin/busybox"),
    ]


def gateway_layer() -> list[Entry]:
    """Return Debian's nginx, the libraries that it loads, and the user of its workers.

    Raises: CannotGet.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = unpacked(NGINX_SUITE, ["nginx"], Path(folder))
        nginx, loader = root / "usr/sbin/nginx", root / "usr" / LOADER
        libraries = sorted(needed_by(nginx, root))
        check_nginx([str(loader), "--library-path", str(root / LIBRARIES), str(nginx), "-v"])
        return [
            *(Entry(name, is_folder=True) for name in ("dev", "etc", "proc", "sys", "tmp")),
            *(Entry(name, is_folder=True) for name in ("run", "var", "var/lib", "var/lib/nginx")),
            Entry(
                "etc/passwd", b"root:x:0:0::/:/bin/false\nwww-data:x:33:33::/:/bin/false\n", 0o644
            ),
            Entry("etc/group", b"root:x:0:\nwww-data:x:33:\n", 0o644),
            Entry("usr/sbin/nginx", nginx.read_bytes()),
            Entry(LOADER, loader.read_bytes()),
            *(Entry(f"{LIBRARIES}/{one.name}", one.read_bytes(), 0o644) for one in libraries),
        ]


def python_layer() -> list[Entry]:
    """Return Debian's Python, the libraries that it loads, and the runner of functions.

    Raises: CannotGet.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = unpacked(PYTHON_SUITE, ["python3-minimal", "libpython3-stdlib"], Path(folder))
        python = (root / "usr/bin/python3").resolve()
        standard = root / "usr/lib" / python.name
        for name in LEFT_OUT:
            shutil.rmtree(standard / name, ignore_errors=True)
        for one in RUNNER:
            target = root / "opt" / one
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((HERE.parent / one).read_bytes())
        _compile_all(python, root, [standard, root / "opt"])
        extensions = sorted(standard.rglob("*.so"))
        needed = {one.name: one for each in (python, *extensions) for one in needed_by(each, root)}
        libraries = [needed[name] for name in sorted(needed)]
        return [
            *(Entry(name, is_folder=True) for name in ("dev", "etc", "proc", "sys")),
            Entry("tmp", mode=0o1777, is_folder=True),
            Entry("etc/passwd", b"plain:x:65532:65532::/tmp:/bin/false\n", 0o644),
            Entry("etc/group", b"plain:x:65532:\n", 0o644),
            Entry("usr/bin/python3", python.read_bytes()),
            Entry(LOADER, (root / "usr" / LOADER).read_bytes()),
            *(Entry(f"{LIBRARIES}/{one.name}", one.read_bytes(), 0o644) for one in libraries),
            *_tree(standard, root),
            *_tree(root / "opt", root),
        ]


def stand_in_layer() -> list[Entry]:
    """Return a C++ compiler and a shell: jobs of CPU stand-ins for GPUs are built where they run.

    Raises: CannotGet.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = compiler.unpacked_compiler(Path(folder))
        files = [
            Entry(path, link=link, mode=mode) if link else Entry(path, one.read_bytes(), mode)
            for path, one, mode, link in compiler.files_of(root)
        ]
    return [
        *(entry for entry in busybox_layer() if entry.path != "bin/c++"),
        *(Entry(name, is_folder=True) for name in ("job", "cube", "work")),
        *(Entry(path, link=link) for path, link in compiler.LINKS),
        *files,
    ]


def tools_layer() -> list[Entry]:
    """Return what looks at networks, processes and files.

    Raises: CannotGet.
    """
    folders = ("dev", "etc", "home", "host", "proc", "root", "run", "sys", "var", "var/log")
    with tempfile.TemporaryDirectory() as folder:
        root = tools.unpacked_tools(Path(folder))
        files = [
            Entry(path, link=link, mode=mode) if link else Entry(path, one.read_bytes(), mode)
            for path, one, mode, link in tools.files_of(root)
            if path not in ("etc/passwd", "etc/group")
        ]
    return [
        *(Entry(name, is_folder=True) for name in folders),
        Entry("tmp", mode=0o1777, is_folder=True),
        Entry("etc/passwd", tools.PASSWD, 0o644),
        Entry("etc/group", tools.GROUP, 0o644),
        *files,
        *(Entry(path, link=link) for path, link in tools.LINKS),
    ]


def _compile_all(python: Path, root: Path, folders: Sequence[Path]) -> None:
    """Compile modules by that very Python: an image that cannot be written to keeps no bytecode.

    Bytecode is bound to no time, so that the same files give the same bytes.

    Raises: CannotGet.
    """
    argv = [str(root / "usr" / LOADER), "--library-path", str(root / LIBRARIES), str(python)]
    argv += ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s", str(root)]
    argv += ["-p", "/", *map(str, folders)]
    home = {"PYTHONHOME": str(root / "usr"), "PYTHONHASHSEED": "0"}
    ended = subprocess.run(
        argv, check=False, capture_output=True, text=True, env=home, timeout=COMPILE_ALL_S
    )
    if ended.returncode != 0:
        raise CannotGet(f"compileall: {(ended.stdout + ended.stderr).strip()[-500:]!r}")


def _tree(folder: Path, root: Path) -> Iterator[Entry]:
    """Yield the files of a folder that programs read."""
    for one in sorted(folder.rglob("*")):
        if one.is_file() and one.suffix in (".py", ".pyc", ".so"):
            yield Entry(str(one.relative_to(root)), one.read_bytes(), 0o644)


def check_nginx(argv: Sequence[str]) -> None:
    """Refuse an nginx that is too old.

    Raises: CannotGet.
    """
    ended = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=10)
    told = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", ended.stderr)
    version = tuple(int(one) for one in told.groups()) if told else ()
    if version < NGINX_OLDEST:
        wanted = ".".join(map(str, NGINX_OLDEST))
        raise CannotGet(f"nginx {wanted} or newer is needed, found {ended.stderr.strip()!r}")


def own_sources(name: str) -> tuple[Path, ...]:
    return (HERE / name / f"{name}.c",)


def runner_sources() -> tuple[Path, ...]:
    return (HERE / "debian.py", *(HERE.parent / one for one in RUNNER))


def stand_in_sources() -> tuple[Path, ...]:
    return (HERE / "debian.py", HERE / "compiler.py", busybox_path())


def images() -> tuple[Image, ...]:
    """Return every image, in the order in which they are built."""
    plain = {"User": PLAIN_USER, "WorkingDir": "/"}
    path = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    runner = {
        "Entrypoint": ["/usr/bin/python3", "-m", "serverless.runtime"],
        "Env": ["PYTHONPATH=/opt", "PYTHONUNBUFFERED=1", "HOME=/tmp"],
        **plain,
    }
    stand_in = {"Cmd": ["sh"], "Env": path, **plain}
    web = {"Entrypoint": ["/web"], "ExposedPorts": {"8080/tcp": {}}, **plain}
    return (
        Image("pause", own_sources("pause"), pause_layer, {"Entrypoint": ["/pause"], **plain}),
        Image("busybox", (busybox_path(),), busybox_layer, {"Cmd": ["sh"], "Env": path}),
        Image("web", own_sources("web"), web_layer, web),
        Image("stress", own_sources("stress"), stress_layer, {"Entrypoint": ["/stress"], **plain}),
        Image("gateway", (HERE / "debian.py",), gateway_layer, is_optional=True),
        Image("python-runtime", runner_sources(), python_layer, runner, is_optional=True),
        Image(
            "gpu-stand-in",
            stand_in_sources(),
            stand_in_layer,
            stand_in,
            is_optional=True,
            is_apart=True,
        ),
        Image(
            "tools",
            (HERE / "debian.py", HERE / "tools.py"),
            tools_layer,
            {"Cmd": ["bash"], "Env": [*path, "TERM=xterm"]},
            is_optional=True,
            is_apart=True,
            is_by_name=True,
        ),
    )


def chosen(names: Sequence[str]) -> list[Image]:
    """Return the images that are asked for; without names, what labs and tests need.

    Raises:
        SystemExit: there is no image of such a name.
    """
    known = {image.name: image for image in images()}
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"build-images: {unknown[0]!r} is none of {', '.join(known)}")
    return [known[name] for name in names] or [one for one in known.values() if not one.is_by_name]


def tar_of(entries: Sequence[Entry]) -> bytes:
    """Return a tar without times, owners or names of this machine: same entries, same bytes."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for entry in entries:
            member = tarfile.TarInfo(entry.path)
            member.mode = entry.mode
            if entry.is_folder:
                member.type = tarfile.DIRTYPE
            elif entry.link:
                member.type, member.linkname = tarfile.SYMTYPE, entry.link
            member.size = len(entry.content)
            archive.addfile(member, io.BytesIO(entry.content))
    return whole.getvalue()


def archive_of(image: Image) -> bytes:
    """Return what `docker load` takes: the layer, the configuration that names it, and a list."""
    layer = tar_of(image.layer())
    config = {
        "architecture": ARCHITECTURES[platform.machine()],
        "os": "linux",
        # A fixed instant: the bytes, and so the image's identity, follow from the content alone.
        "created": "2026-01-01T00:00:00Z",
        "config": image.config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": f"images/{image.name}"}],
    }
    config_bytes = json.dumps(config, sort_keys=True).encode()
    config_name = f"{hashlib.sha256(config_bytes).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [image.tag], "Layers": ["layer.tar"]}]
    return tar_of(
        [
            Entry(config_name, config_bytes, 0o644),
            Entry("layer.tar", layer, 0o644),
            Entry("manifest.json", json.dumps(manifest).encode(), 0o644),
        ]
    )


def inputs_of(image: Image) -> str:
    """Return a digest of all that the image is made from: this file and its sources."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for source in image.sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def build(image: Image, output: Path) -> bool:
    """Write output/<name>.tar unless it is up to date; tell whether it was written."""
    target, beside = output / f"{image.name}.tar", output / f"{image.name}.inputs"
    inputs = inputs_of(image)
    if target.exists() and beside.exists() and beside.read_text() == inputs:
        return False
    unfinished = output / f"{image.name}.tar.new"
    unfinished.write_bytes(archive_of(image))
    unfinished.replace(target)
    beside.write_text(inputs)
    return True


def main(argv: Sequence[str]) -> int:
    """Build images into argv[1] (default var/images): those that are named behind it, or all.

    All but those that are built by their name alone.
    """
    output = Path(argv[1]) if len(argv) > 1 else OUTPUT
    output.mkdir(parents=True, exist_ok=True)
    for image in chosen(argv[2:]):
        folder = output / "apart" if image.is_apart else output
        folder.mkdir(exist_ok=True)
        try:
            was_built = build(image, folder)
        except CannotGet as error:
            if not image.is_optional:
                raise
            sys.stdout.write(f"{image.tag:24}        -  not built: {error}\n")
            continue
        size_kib = (folder / f"{image.name}.tar").stat().st_size // 1024
        state = "built" if was_built else "up to date"
        sys.stdout.write(f"{image.tag:24} {size_kib:6} KiB  {state}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
