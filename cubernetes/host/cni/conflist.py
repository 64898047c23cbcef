"""A CNI network configuration: which plugins are called, in which order, with what. Pure.

Specification: https://www.cni.dev/docs/spec/ (0.4.0, 1.0.0 and 1.1.0 are the same for what is used
here; 1.1.0 adds GC).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network

import msgspec

VERSIONS = ("0.4.0", "1.0.0", "1.1.0")
WITH_GC = ("1.1.0",)
PATHS = ("/opt/cni/bin", "/usr/lib/cni")  # where plugins are looked for, in this order
CONFIG_BYTES_MAX = 64 << 10
PLUGINS_MAX = 16
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")
# Stands in a configuration for the range of the node that reads it, as Calico's plugin has it.
POD_CIDR = "usePodCidr"
# Plugins that make a device with the MTU that they are told.
WITH_MTU = ("bridge", "ptp")

type Tree = Mapping[str, object]


class ConflistInvalid(ValueError):
    """The text is no configuration that can be used; problems name each field and its form."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Conflist:
    """A chain of plugins. checks: CHECK may be called. collects: GC may be."""

    name: str
    version: str
    plugins: tuple[Tree, ...]
    checks: bool = True
    collects: bool = False

    @property
    def types(self) -> tuple[str, ...]:
        return tuple(str(one["type"]) for one in self.plugins)

    @property
    def programs(self) -> tuple[str, ...]:
        """Return every program that is called: those of the chain, and those that they call."""
        ipams = (str(ipam_of(one)["type"]) for one in self.plugins if ipam_of(one))
        return tuple(dict.fromkeys([*self.types, *ipams]))

    @property
    def is_by_node(self) -> bool:
        """Each node gives out addresses of its own range."""
        return any(_says(one, POD_CIDR) for one in self.plugins)

    def can(self, capability: str) -> bool:
        """A plugin of the chain takes this of what a runtime can tell."""
        return any(capability in _capabilities(one) for one in self.plugins)

    @property
    def tree(self) -> Tree:
        """The configuration as it is kept, to be read again by conflist_in."""
        return {
            "cniVersion": self.version,
            "name": self.name,
            "disableCheck": not self.checks,
            "disableGC": not self.collects,
            "plugins": list(self.plugins),
        }


def conflist_of(text: str, *, is_shared: bool = True) -> Conflist:
    """Read a configuration as an administrator writes it. Raises: ConflistInvalid.

    is_shared: every node has it as it is, so that its addresses must be each node's own.
    """
    if len(text.encode()) > CONFIG_BYTES_MAX:
        raise ConflistInvalid([f"has more than {CONFIG_BYTES_MAX} bytes"])
    try:
        tree = msgspec.json.decode(text.encode(), type=dict[str, object])
    except ValueError as error:
        raise ConflistInvalid([f"is no JSON object: {error}"]) from error
    conflist = conflist_in(tree)
    if not is_shared and conflist.is_by_node:
        raise ConflistInvalid([f"{POD_CIDR} is for the cluster's own network, which has the range"])
    if is_shared and (problems := list(_range_problems(conflist))):
        raise ConflistInvalid(problems)
    return conflist


def conflist_in(tree: Tree) -> Conflist:
    """Read a configuration, also one that a node has its range in. Raises: ConflistInvalid."""
    if problems := list(_problems(tree)):
        raise ConflistInvalid(problems)
    version, plugins = str(tree["cniVersion"]), tree["plugins"]
    return Conflist(
        name=str(tree["name"]),
        version=version,
        plugins=tuple(plugins) if isinstance(plugins, list) else (),
        checks=not _is_true(tree.get("disableCheck")),
        collects=version in WITH_GC and not _is_true(tree.get("disableGC")),
    )


def _is_true(value: object) -> bool:
    # Both forms are in use: the specification says boolean, and older examples have text.
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _problems(tree: Tree) -> Iterator[str]:
    if "plugins" not in tree and "type" in tree:
        yield (
            "plugins: is missing: this is one plugin's configuration (.conf); a list is "
            '{"cniVersion": "1.0.0", "name": "...", "plugins": [{"type": ...}]} (.conflist)'
        )
        return
    version, name, plugins = (tree.get(key) for key in ("cniVersion", "name", "plugins"))
    if version not in VERSIONS:
        yield f"cniVersion: must be one of {', '.join(VERSIONS)}, not {str(version)[:20]!r}"
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        yield (
            f"name: must begin with a letter or digit, have only letters, digits, '_', '.', '-', "
            f"and at most 63 characters, not {str(name)[:80]!r}"
        )
    if not isinstance(plugins, list) or not 0 < len(plugins) <= PLUGINS_MAX:
        yield f"plugins: must be a list of 1 to {PLUGINS_MAX} plugins"
        return
    for index, one in enumerate(plugins):
        for problem in _plugin_problems(one):
            yield f"plugins[{index}]{problem}"


def _plugin_problems(plugin: object) -> Iterator[str]:
    if not isinstance(plugin, dict):
        yield ": must be an object"
        return
    for where, kind in ((".type", plugin.get("type")), (".ipam.type", ipam_of(plugin).get("type"))):
        is_left_out = where == ".ipam.type" and not ipam_of(plugin)
        if not is_left_out and (not isinstance(kind, str) or NAME.fullmatch(kind) is None):
            yield f"{where}: must be the name of a plugin's program, not {str(kind)[:80]!r}"
    capabilities = plugin.get("capabilities", {})
    if not isinstance(capabilities, dict) or not all(
        isinstance(value, bool) for value in capabilities.values()
    ):
        yield ".capabilities: must be an object of true and false"


def _range_problems(conflist: Conflist) -> Iterator[str]:
    for index, one in enumerate(conflist.plugins):
        if ipam_of(one).get("type") == "host-local" and not _says(ipam_of(one), POD_CIDR):
            yield (
                f"plugins[{index}].ipam: every node would give out the same addresses: write "
                f'"{POD_CIDR}" for the subnet, which is the range that each node has'
            )


def ipam_of(plugin: Tree) -> Tree:
    ipam = plugin.get("ipam")
    return ipam if isinstance(ipam, dict) else {}


def _says(value: object, word: str) -> bool:
    if isinstance(value, dict):
        return any(_says(one, word) for one in value.values())
    if isinstance(value, list):
        return any(_says(one, word) for one in value)
    return value == word


def _capabilities(plugin: Tree) -> set[str]:
    said = plugin.get("capabilities", {})
    return {name for name, is_on in said.items() if is_on} if isinstance(said, dict) else set()


def for_node(conflist: Conflist, pod_cidr: IPv4Network, mtu_bytes: int) -> Conflist:
    """Return the configuration with this node's range, and the MTU of what carries its packets."""
    plugins = []
    for one in conflist.plugins:
        told = {str(key): _with_range(value, str(pod_cidr)) for key, value in one.items()}
        if one["type"] in WITH_MTU:
            told.setdefault("mtu", mtu_bytes)
        plugins.append(told)
    return replace(conflist, plugins=tuple(plugins))


def _with_range(value: object, pod_cidr: str) -> object:
    if isinstance(value, dict):
        return {key: _with_range(one, pod_cidr) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_range(one, pod_cidr) for one in value]
    return pod_cidr if value == POD_CIDR else value


def request_for(
    conflist: Conflist, plugin: Tree, runtime: Tree, before: Tree | None = None
) -> dict[str, object]:
    """Return what a plugin is given on its stdin.

    runtime: what the runtime can tell, by capability; each plugin is told what it asked for.
    before: the result of the plugin before it, or of the whole chain for CHECK and DEL.
    """
    told = {name: runtime[name] for name in sorted(_capabilities(plugin) & runtime.keys())}
    request = {**plugin, "cniVersion": conflist.version, "name": conflist.name}
    if told:
        request["runtimeConfig"] = told
    if before is not None:
        request["prevResult"] = before
    return request


def wires_of(conflist: Conflist) -> tuple[str, ...]:
    """Return the devices that pods' packets come in by, as iptables' patterns; none: not known."""
    first = conflist.plugins[0]
    if first["type"] == "bridge":
        return (str(first.get("bridge", "cni0")),)
    return ("veth+",) if first["type"] == "ptp" else ()
