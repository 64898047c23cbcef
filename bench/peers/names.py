"""What names cost, beside dnsmasq: `sudo python -m bench.peers.names [SERVICES]`.

The resolver's own program, begun from its checkpoint with no API server near, and dnsmasq with the
same names in a file, one after the other on the first core; Debian's dnsperf asks both from the
last. As fast as it can, for names a second of processor: of a hundredth of the services, and of
all of them at random. Then at a steady rate, for the time of an answer. Everything happens in a
network namespace of its own that ends with the program.
"""

import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.ground.processes import cpu_s, memory
from bench.ground.report import ROOT, Figures, percentiles, progress, show
from bench.ground.serving import write_certificates
from bench.proxy import a_service
from bench.roads import a_slice
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.meta import ObjectMeta
from cubernetes.client.connect import ClientSettings
from cubernetes.host.settings import settings_bytes
from resolver.checkpoint import Kept, NamesCheckpoint, Writing
from resolver.objects import namespace_kept, service_kept, slice_kept
from resolver.settings import ResolverSettings

SERVICES = 10_000
QUESTIONS = 20_000
SPAN_S, RATE = 8, 2_000
START_S, END_S, LOOK_S = 60.0, 10.0, 0.05
ADDRESS, PORT = "169.254.20.10", 53
PEER_ADDRESS, PEER_PORT = "127.0.0.1", 5353
DOMAIN = "default.svc.cluster.local"
MIB = 2**20
# scripts/test unpacks other people's programs here.
TOOLS = ROOT / "var" / "tools" / "usr"


class Asked(NamedTuple):
    """What dnsperf says. latencies_ms: only where it was told to tell each."""

    answered_count: int
    lost_count: int
    rate: float
    latencies_ms: tuple[float, ...]


def found(name: str) -> str:
    """Return the path of a program; empty where it is not here."""
    folders = (os.environ["PATH"], "/usr/sbin", str(TOOLS / "bin"), str(TOOLS / "sbin"))
    return shutil.which(name, path=os.pathsep.join(folders)) or ""


def resolver_argv(folder: Path, service_count: int) -> list[str]:
    """Write the resolver's settings and checkpoint; return its command."""
    write_certificates(folder)
    (folder / "resolv.conf").touch()
    checkpoint = folder / "names"
    meta = ObjectMeta(name="default")
    services = [service_kept(a_service(number)) for number in range(service_count)]
    slices = [slice_kept(a_slice(number)) for number in range(service_count)]
    kept: tuple[Kept, ...] = (namespace_kept(Namespace(metadata=meta)), *services, *slices)
    writing = Writing()
    writing.take(kept)
    NamesCheckpoint(checkpoint).save(writing.end())
    settings = ResolverSettings(
        node_name="bench",
        client=ClientSettings(
            servers=("https://127.0.0.1:1",),
            ca=str(folder / "ca.crt"),
            cert=str(folder / "admin.crt"),
            key=str(folder / "admin.key"),
        ),
        address=ADDRESS,
        port=PORT,
        resolv_confs=(str(folder / "resolv.conf"),),
        checkpoint=str(checkpoint),
    )
    file = folder / "resolver.json"
    file.write_bytes(settings_bytes(settings))
    return [sys.executable, "-m", "resolver", "--settings", str(file)]


def dnsmasq_argv(folder: Path, service_count: int) -> list[str]:
    """Write the same names for dnsmasq; return its command, which is empty where it is not here."""
    lines = [
        f"{a_service(number).spec.cluster_ip} web-{number}.{DOMAIN}\n"
        for number in range(service_count)
    ]
    (folder / "hosts").write_text("".join(lines))
    words = ("--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
             f"--addn-hosts={folder / 'hosts'}", "--user=root", "--bind-interfaces",
             f"--listen-address={PEER_ADDRESS}", f"--port={PEER_PORT}",
             f"--pid-file={folder / 'pid'}")  # fmt: skip
    return [program, *words] if (program := found("dnsmasq")) else []


def figures_of(
    argv: Sequence[str], place: tuple[str, int], service_count: int, folder: Path
) -> Figures:
    """Run one server on the first core, and ask it."""
    with (folder / "said").open("ab") as said:
        server = subprocess.Popen(
            ["taskset", "--cpu-list", "0", *argv], cwd=ROOT, stdout=said, stderr=said
        )
    process = Path("/proc") / str(server.pid)
    try:
        begun_s = wait_for(server, place, folder)
        idle = memory(process)
        used = saturated(process, place, folder, max(1, service_count // 100))
        every = saturated(process, place, folder, service_count)
        steady = asked(place, questions(folder, service_count), "-v", "-Q", str(RATE))
        return {
            "answers_after_s": round(begun_s, 2),
            "memory_mib": round(idle.rss_bytes / MIB, 1),
            "memory_asked_mib": round(memory(process).rss_bytes / MIB, 1),
            "some_names": used,
            "all_names": every,
            f"answer_ms_at_{RATE}_a_second": percentiles(steady.latencies_ms, 3),
            "lost": steady.lost_count,
        }
    finally:
        server.terminate()
        server.wait(END_S)


def wait_for(server: subprocess.Popen[bytes], place: tuple[str, int], folder: Path) -> float:
    """Wait until a server answers about a name; return after how many seconds."""
    began_s = time.perf_counter()
    labels = ["web-0", *DOMAIN.split(".")]
    name = b"".join(bytes((len(one),)) + one.encode() for one in labels)
    question = b"\x00\x01\x01\x00\x00\x01" + bytes(6) + name + b"\x00\x00\x01\x00\x01"
    while (spent_s := time.perf_counter() - began_s) < START_S and server.poll() is None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(LOOK_S)
            try:
                asker.sendto(question, place)
                # One answer, without an error.
                if asker.recv(512)[3:8] == b"\x80\x00\x01\x00\x01":
                    return spent_s
            except OSError:
                time.sleep(LOOK_S)
    raise RuntimeError(f"no server: {(folder / 'said').read_text()[-2000:]}")


def saturated(process: Path, place: tuple[str, int], folder: Path, name_count: int) -> Figures:
    """Return what a server answers when it is asked without end."""
    file = questions(folder, name_count)
    before_s = cpu_s(process)
    told = asked(place, file)
    spent_s = cpu_s(process) - before_s
    return {
        "names": name_count,
        "a_second": round(told.rate),
        "a_second_of_processor": round(told.answered_count / spent_s),
        "lost": told.lost_count,
    }


def questions(folder: Path, name_count: int) -> Path:
    """Write down what is to be asked, the same for every server."""
    chosen = random.Random(1)
    numbers = [chosen.randrange(name_count) for _ in range(QUESTIONS)]
    file = folder / f"questions-{name_count}"
    file.write_text("".join(f"web-{number}.{DOMAIN} A\n" for number in numbers))
    return file


def asked(place: tuple[str, int], file: Path, *more: str) -> Asked:
    """Ask for a while, with dnsperf on the last core."""
    argv = ["taskset", "--cpu-list", str((os.cpu_count() or 1) - 1), found("dnsperf"),
            "-s", place[0], "-p", str(place[1]), "-d", str(file), "-l", str(SPAN_S),
            "-c", "8", "-q", "64", *more]  # fmt: skip
    environment = os.environ | {"LD_LIBRARY_PATH": str(TOOLS / "lib" / "x86_64-linux-gnu")}
    done = subprocess.run(
        argv, env=environment, capture_output=True, text=True, check=True, timeout=SPAN_S + 60
    )
    said = done.stdout
    codes = re.search(r"Response codes: +(.*)", said)
    if codes is None or not re.fullmatch(r"NOERROR \d+ \(100.00%\)", codes[1].strip()):
        raise RuntimeError(f"answers are no answers: {said[-2000:]}")
    latencies = re.findall(r"^> NOERROR \S+ A ([\d.]+)$", said, re.MULTILINE)
    return Asked(
        int(_number(r"Queries completed: +(\d+)", said)),
        int(_number(r"Queries lost: +(\d+)", said)),
        _number(r"Queries per second: +([\d.]+)", said),
        tuple(float(one) * 1000 for one in latencies),
    )


def _number(pattern: str, said: str) -> float:
    match = re.search(pattern, said)
    if match is None:
        raise RuntimeError(f"dnsperf does not say {pattern}: {said[-2000:]}")
    return float(match[1])


def main() -> None:
    if os.geteuid() != 0:
        sys.exit("bench.peers.names needs root: it answers in a network namespace of its own")
    if not found("dnsperf"):
        sys.exit("bench.peers.names needs Debian's dnsperf, on PATH or unpacked into var/tools")
    (count,) = [int(one) for one in sys.argv[1:]] or [SERVICES]
    os.unshare(os.CLONE_NEWNET)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=END_S)
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="bench-names-") as name:
        folder = Path(name)
        for server, argv, place in (
            ("resolver", resolver_argv(folder, count), (ADDRESS, PORT)),
            ("dnsmasq", dnsmasq_argv(folder, count), (PEER_ADDRESS, PEER_PORT)),
        ):
            if not argv:
                progress(f"{server} is not here: Debian's {server}-base has it")
                continue
            progress(f"{server}, {count} services")
            figures[server] = figures_of(argv, place, count, folder)
    show("names", {"services": count, "seconds": SPAN_S, "rate": RATE}, figures)


if __name__ == "__main__":
    main()
