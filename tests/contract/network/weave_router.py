"""This is NOT Weave: a stand-in for its router, with the same flags, calls and bridge.

Frames go over UDP, by a TAP in the bridge; neighbours greet each other and prove the password;
what is for a neighbour's neighbour is passed on. No encryption, no fast path, no allocator.
"""

import argparse
import fcntl
import hashlib
import hmac
import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

BRIDGE, TAP = "weave", "vethwe-bridge"
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
GREETING, FRAME = b"G", b"F"
GREET_S, SILENT_S = 0.2, 2.0
MAC_BYTES = 6
RULES = """\
*mangle
:WEAVE-CANARY - [0:0]
COMMIT
*nat
:WEAVE - [0:0]
:WEAVE-CANARY - [0:0]
-A POSTROUTING -j WEAVE
COMMIT
*filter
:WEAVE-CANARY - [0:0]
:WEAVE-EXPOSE - [0:0]
-A INPUT -d 127.0.0.1/32 -p tcp -m tcp --dport {port} -m addrtype ! --src-type LOCAL -m conntrack \
! --ctstate RELATED,ESTABLISHED -m comment --comment "Block non-local access to Weave Net control \
port" -j DROP
-I FORWARD 1 -i weave -o weave -j ACCEPT
-I FORWARD 2 -o weave -j WEAVE-EXPOSE
-I FORWARD 3 -i weave ! -o weave -j ACCEPT
-I FORWARD 4 -o weave -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
"""


def options_in(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="weaver", allow_abbrev=False)
    parser.add_argument("--version", action="version", version="weave router: a stand-in")
    parser.add_argument("--name", required=True)
    parser.add_argument("--nickname", default="")
    parser.add_argument("--port", type=int, default=6783)
    parser.add_argument("--http-addr", default="127.0.0.1:6784")
    parser.add_argument("--mtu", type=int, default=1376)
    for ignored in ("status-addr", "docker-api", "host-root", "conn-limit", "db-prefix"):
        parser.add_argument(f"--{ignored}")
    parser.add_argument("--datapath", default="")
    parser.add_argument("--no-fastdp", action="store_true")
    parser.add_argument("--no-dns", action="store_true")
    parser.add_argument("peers", nargs="*")
    return parser.parse_args(argv)


@dataclass
class Neighbour:
    """Another router that greets this one. beyond: the names that it can pass frames on to."""

    name: str
    nickname: str
    heard_s: float
    beyond: frozenset[str] = field(default_factory=frozenset)


class Router:
    """What it knows of others; addresses are of IPv4, and every router has the same port."""

    def __init__(self, name: str, nickname: str, port: int, password: str) -> None:
        self.name, self.nickname, self.port = name, nickname, port
        self._password = password.encode()
        self._lock = threading.Lock()
        self._targets: set[str] = set()
        self._known: dict[str, Neighbour] = {}
        self._refused: dict[str, str] = {}
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("0.0.0.0", port))

    def aim(self, addresses: Sequence[str], *, is_whole: bool) -> None:
        with self._lock:
            self._targets = set(addresses) | (set() if is_whole else self._targets)
        self.greet()

    def forget(self, addresses: Sequence[str]) -> None:
        with self._lock:
            self._targets -= set(addresses)

    def greet(self) -> None:
        now_s = time.monotonic()
        with self._lock:
            old = [one for one, it in self._known.items() if now_s - it.heard_s > SILENT_S]
            for address in old:
                del self._known[address]
            everybody = self._targets | self._known.keys()
        for address in everybody:
            self._send(self._greeting(), address)

    def _greeting(self) -> bytes:
        with self._lock:
            beyond = sorted(it.name for it in self._known.values())
        said = [self.name, self.nickname, self._proof(self.name), beyond]
        return GREETING + json.dumps(said).encode()

    def _proof(self, name: str) -> str:
        return hmac.new(self._password, name.encode(), hashlib.sha256).hexdigest()

    def take_greeting(self, said: bytes, address: str) -> None:
        name, nickname, proof, beyond = json.loads(said)
        with self._lock:
            is_refused = proof != self._proof(name)
            is_new = address not in (self._refused if is_refused else self._known)
            if is_refused:
                self._refused[address] = "Unable to decrypt TCP msg"
                self._known.pop(address, None)
            else:
                self._refused.pop(address, None)
                self._known[address] = Neighbour(
                    name, nickname, time.monotonic(), frozenset(beyond)
                )
        if is_new:
            # Also one that was refused hears of it.
            self._send(self._greeting(), address)

    def knows(self, address: str) -> bool:
        return address in self._known

    def forward(self, frame: bytes, sender: str = "") -> None:
        """Send a frame to whom it is for, or by a neighbour that knows that one; else to all."""
        to = ":".join(f"{byte:02x}" for byte in frame[:MAC_BYTES])
        with self._lock:
            direct = [one for one, it in self._known.items() if it.name == to]
            round_about = [one for one, it in self._known.items() if to in it.beyond]
            everybody = list(self._known) if not sender else []
        ways = direct or [one for one in round_about if one != sender][:1] or everybody
        for address in ways:
            self._send(FRAME + frame, address)

    def is_for_others(self, frame: bytes) -> bool:
        mac = ":".join(f"{byte:02x}" for byte in frame[:MAC_BYTES])
        with self._lock:
            return mac != self.name and any(
                mac == it.name or mac in it.beyond for it in self._known.values()
            )

    def _send(self, packet: bytes, address: str) -> None:
        try:
            self.udp.sendto(packet, (address, self.port))
        except OSError as error:
            with self._lock:
                self._refused[address] = str(error)

    def targets_text(self) -> str:
        with self._lock:
            return "".join(f"{one}\n" for one in sorted(self._targets))

    def connections_text(self) -> str:
        """Two peers have one connection: the one with the greater name is its outbound end."""
        with self._lock:
            lines = [
                f"{self._end(one, it)} {'established':<11} encrypted   sleeve {it.name}"
                f"({it.nickname}) mtu=1438"
                for one, it in sorted(self._known.items())
            ]
            lost = self._targets - self._known.keys()
            retry = f"retry: {time.monotonic():.9f}"
            silent = f":{self.port}: i/o timeout"
            lines += [
                f"-> {f'{one}:{self.port}':<21} {'failed':<11} "
                f"{self._refused.get(one, f'dial tcp4 :0->{one}{silent}')}, {retry}"
                for one in sorted(lost)
            ]
        return "".join(f"{line}\n" for line in lines)

    def _end(self, address: str, it: Neighbour) -> str:
        is_ours = self.name > it.name
        return f"{'->' if is_ours else '<-'} {f'{address}:{self.port if is_ours else 41830}':<21}"

    def peers_text(self) -> str:
        with self._lock:
            lines = [f"{self.name}({self.nickname})"]
            for address, it in sorted(self._known.items()):
                lines.append(f"   -> {address}:{self.port}  {it.name}({it.nickname}) established")
            lines += [f"{it.name}({it.nickname})" for it in self._known.values()]
        return "".join(f"{line}\n" for line in lines)


def handler_for(router: Router) -> type[BaseHTTPRequestHandler]:
    texts = {
        "/status/targets": router.targets_text,
        "/status/connections": router.connections_text,
        "/status/peers": router.peers_text,
    }

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            text = texts.get(self.path)
            self._answer(404 if text is None else 200, "" if text is None else text())

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            form = parse_qs(self.rfile.read(length).decode())
            peers = form.get("peer", [])
            bad = [one for one in peers if not one.replace(".", "").replace(":", "").isalnum()]
            if bad:
                self._answer(400, f'invalid peer name "{bad[0]}", should be host[:port]\n')
            elif self.path == "/connect":
                router.aim(peers, is_whole=form.get("replace") == ["true"])
                self._answer(200)
            elif self.path == "/forget":
                router.forget(peers)
                self._answer(200)
            else:
                self._answer(404)

        def _answer(self, code: int, text: str = "") -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

    return Handler


def tap_in_bridge(name: str, mtu_bytes: int, *, is_fast: bool) -> int:
    """Make the bridge, where it is not there yet, and a TAP in it; return the TAP's handle.

    As where the kernel has no fast path: one bridge is made without, and another is refused.
    """
    if subprocess.run(["ip", "link", "show", BRIDGE], capture_output=True).returncode:
        _ip("link", "add", BRIDGE, "type", "bridge", "forward_delay", "0")
    elif is_fast:
        sys.exit(
            'Existing bridge type "bridge" is different than requested "bridged_fastdp". Please '
            "do 'weave reset' and try again"
        )
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", TAP.encode(), IFF_TAP | IFF_NO_PI))
    _ip("link", "set", TAP, "mtu", str(mtu_bytes), "master", BRIDGE, "up")
    _ip("link", "set", BRIDGE, "address", name, "mtu", str(mtu_bytes), "up")
    return tap


def write_rules(control_port: int) -> None:
    """Write the rules that a router writes when it begins."""
    saved = subprocess.run(["iptables-save"], check=True, capture_output=True, text=True).stdout
    if "-j WEAVE-EXPOSE" not in saved:
        rules = RULES.format(port=control_port)
        subprocess.run(["iptables-restore", "--noflush"], input=rules, text=True, check=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def main() -> None:
    options = options_in(sys.argv[1:])
    password = os.environ.get("WEAVE_PASSWORD", "")
    router = Router(options.name, options.nickname, options.port, password)
    tap = tap_in_bridge(options.name, options.mtu, is_fast=not options.no_fastdp)
    host, _, port = options.http_addr.rpartition(":")
    write_rules(int(port))
    router.aim(options.peers, is_whole=True)
    server = ThreadingHTTPServer((host, int(port)), handler_for(router))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    greeted_s = 0.0
    while True:
        ready, _, _ = select.select([tap, router.udp.fileno()], [], [], GREET_S)
        if time.monotonic() - greeted_s >= GREET_S:
            router.greet()
            greeted_s = time.monotonic()
        if router.udp.fileno() in ready:
            packet, (address, _) = router.udp.recvfrom(65536)
            if packet[:1] == GREETING:
                router.take_greeting(packet[1:], address)
            elif router.knows(address) and router.is_for_others(packet[1:]):
                router.forward(packet[1:], sender=address)
            elif router.knows(address):
                os.write(tap, packet[1:])
        if tap in ready:
            router.forward(os.read(tap, 65536))


if __name__ == "__main__":
    main()
