"""The generation of this machine's nf_tables rules: a number that every change of them moves.

One small question over netlink, far cheaper than reading the rules. It holds for the network
namespace of the caller, and for iptables on nf_tables only: legacy iptables has none.
"""

import socket
import struct

NETLINK_NETFILTER = 12
NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN = 10, 16
NFTA_GEN_ID = 1
REQUEST = 1
TIMEOUT_S = 1.0
ANSWER_BYTES_MAX = 4096
HEADER = struct.Struct("=IHHII")
GENMSG = struct.Struct("!BBH")


def generation() -> int | None:
    """Return the generation; None where the kernel does not tell."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as asking:
            asking.settimeout(TIMEOUT_S)
            asking.sendto(question(), (0, 0))
            return answer_in(asking.recv(ANSWER_BYTES_MAX))
    except OSError:
        return None


def question() -> bytes:
    kind = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN
    return HEADER.pack(HEADER.size + GENMSG.size, kind, REQUEST, 1, 0) + GENMSG.pack(0, 0, 0)


def answer_in(message: bytes) -> int | None:
    """Return the generation that an answer tells; None for an error or anything else."""
    at = HEADER.size + GENMSG.size
    while len(message) >= at + 4:
        length, kind = struct.unpack_from("=HH", message, at)
        if kind == NFTA_GEN_ID and length == 8 and len(message) >= at + 8:
            found: int = struct.unpack_from("!I", message, at + 4)[0]
            return found
        if length < 4:
            return None
        at += length + 3 & ~3
    return None
