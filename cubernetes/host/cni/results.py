"""What CNI plugins print: results, and errors in their own words. Pure."""

from dataclasses import dataclass
from ipaddress import IPv4Interface, ip_interface

import msgspec

from cubernetes.host.cni.conflist import VERSIONS, Tree

SAID_CHARS_MAX = 1000


class NotAResult(ValueError):
    """What was printed is no result; it says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """addresses: of IPv4, in their order. hosts: names of the node's devices that are told of."""

    tree: Tree
    addresses: tuple[IPv4Interface, ...]
    hosts: tuple[str, ...]


class _Interface(msgspec.Struct):
    name: str
    sandbox: str = ""


class _Ip(msgspec.Struct):
    address: str


class _Result(msgspec.Struct, rename="camel"):
    cni_version: str = ""
    interfaces: list[_Interface] | None = None
    ips: list[_Ip] | None = None


class _Error(msgspec.Struct):
    code: int
    msg: str
    details: str = ""


class _Versions(msgspec.Struct, rename="camel"):
    supported_versions: list[str]


def result_of(printed: bytes) -> Result:
    """Read what ADD printed. Raises: NotAResult."""
    try:
        tree = msgspec.json.decode(printed, type=dict[str, object])
        said = msgspec.convert(tree, _Result)
        found = [ip_interface(one.address) for one in said.ips or ()]
    except ValueError as error:
        raise NotAResult(f"printed no CNI result ({error}): {_cut(printed)}") from error
    if words := error_in(printed):
        raise NotAResult(words)
    if said.cni_version not in VERSIONS:
        raise NotAResult(f"printed a result of version {said.cni_version[:20]!r}")
    return Result(
        tree=tree,
        addresses=tuple(one for one in found if isinstance(one, IPv4Interface)),
        hosts=tuple(one.name for one in said.interfaces or () if not one.sandbox),
    )


def error_in(printed: bytes) -> str:
    """Return the words of an error that a plugin printed; empty: it printed none."""
    try:
        said = msgspec.json.decode(printed, type=_Error)
    except ValueError:
        return ""
    details = f"; {said.details}" if said.details else ""
    return f"{said.msg}{details} (code {said.code})"[:SAID_CHARS_MAX]


def versions_in(printed: bytes) -> tuple[str, ...]:
    """Return the versions that a plugin speaks, as it answered VERSION. Raises: NotAResult."""
    try:
        return tuple(msgspec.json.decode(printed, type=_Versions).supported_versions)
    except ValueError as error:
        raise NotAResult(f"does not tell its versions ({error}): {_cut(printed)}") from error


def _cut(printed: bytes) -> str:
    return repr(printed[:200].decode(errors="replace")) if printed else "nothing at all"
