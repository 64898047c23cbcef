"""Further interfaces of a pod: each by the configuration list of a network that the node has.

CHECK is not called for them. A bridge without an address changes its MAC as pods come, which the
plugin of that name takes for damage; marks tell of real damage.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from cubernetes.host.blocking import Blocking
from cubernetes.host.cni.conflist import CONFIG_BYTES_MAX, Conflist, ConflistInvalid, conflist_of
from cubernetes.host.cni.plugins import PluginFailed, Plugins
from cubernetes.host.cni.results import Result
from cubernetes.host.durable.files import read_or_none
from cubernetes.host.settings import SettingsInvalid, read_settings
from kubelet.network.cni.opened import OpenNetworks
from kubelet.network.cni.records import More, Record
from kubelet.network.cni.telling import runtime_for_wish
from kubelet.network.driver import Interface, NetworkTrouble, NetworkWish, PodWishes

READ = ("network", "cni networks")
OPENED = ("network", "open networks")
FILES_MAX = 64


class OtherNetworks:
    """The configuration lists in a folder, each known by the name within it.

    opened: the file in which an administrator says which of them pods may join, read each time.
    """

    def __init__(self, folder: Path, opened: Path, plugins: Plugins, blocking: Blocking) -> None:
        self._folder, self._opened = folder, opened
        self._plugins, self._blocking = plugins, blocking

    async def wanted(self, wishes: PodWishes) -> tuple[More, ...]:
        """Return what plugins are to be asked for.

        Raises: NetworkTrouble: there is none such, or the pod may not join it.
        """
        if not wishes.networks:
            return ()
        await self._check_open(wishes)
        known = await self._blocking.run(READ, partial(_lists_in, self._folder))
        return tuple([await self._more(one, known) for one in wishes.networks])

    async def known(self) -> tuple[Conflist, ...]:
        """Return the lists that can be used."""
        found = await self._blocking.run(READ, partial(_lists_in, self._folder))
        return tuple(one for one in found.values() if isinstance(one, Conflist))

    async def _check_open(self, wishes: PodWishes) -> None:
        try:
            opened = await self._blocking.run(OPENED, partial(_opened_in, self._opened))
        except (OSError, SettingsInvalid) as error:
            raise NetworkTrouble(f"no further network is open: {error}") from error
        for one in wishes.networks:
            if why := opened.refusal(one.network, wishes.namespace):
                raise NetworkTrouble(f"CNI network {one.network}: {why}, by {self._opened}")

    async def _more(self, wish: NetworkWish, known: Mapping[str, Conflist | str]) -> More:
        conflist = known.get(wish.network, "")
        if isinstance(conflist, str):
            names = ", ".join(sorted(known)) or "none"
            why = conflist or f"is of no *.conflist in {self._folder} of this node (there: {names})"
            raise NetworkTrouble(f"CNI network {wish.network}: {why}")
        runtime = runtime_for_wish(wish)
        if lacking := [one for one in runtime if not conflist.can(one)]:
            raise NetworkTrouble(
                f"CNI network {wish.network}: no plugin of it has the capability {lacking[0]}"
            )
        # Asked before anything is recorded: what has no program could never be taken back.
        if missing := await self._plugins.missing(conflist):
            raise NetworkTrouble(
                f"CNI network {wish.network}: the plugin {missing[0]} is not on this node"
            )
        return More(device=wish.device, config=conflist.tree, runtime=runtime)

    async def add(self, record: Record, more: More) -> Result:
        """Wire one. Raises: PluginFailed."""
        return await self._plugins.add(more.conflist, more.attachment(record, record.netns))

    async def take_back(self, record: Record, netns: str) -> None:
        """Take all off, the last first. Raises: PluginFailed, the first failure."""
        failures: list[PluginFailed] = []
        for more in reversed(record.more):
            try:
                attachment = more.attachment(record, netns)
                await self._plugins.delete(more.conflist, attachment, more.result)
            except PluginFailed as error:
                failures.append(error)
        if failures:
            raise failures[0]


def interfaces_of(record: Record) -> tuple[Interface, ...]:
    """Return what a pod with further interfaces has; none: it has one, and no more to tell."""
    if not record.more:
        return ()
    first = Interface(
        record.conflist.name, "eth0", (record.address,), _mac(record.result, "eth0"), True
    )
    return (first, *(_interface(one) for one in record.more))


def _interface(more: More) -> Interface:
    ips = [str(one.ip) for one in more.addresses]
    return Interface(more.conflist.name, more.device, tuple(ips), _mac(more.result, more.device))


def _mac(result: Mapping[str, object] | None, device: str) -> str:
    """Return the MAC that a result tells of a device in the pod; empty: none."""
    told = (result or {}).get("interfaces")
    for one in told if isinstance(told, list) else []:
        if isinstance(one, dict) and one.get("name") == device and one.get("sandbox"):
            return str(one.get("mac", ""))
    return ""


def _opened_in(path: Path) -> OpenNetworks:
    """Raises: SettingsInvalid, OSError."""
    return OpenNetworks() if read_or_none(path) is None else read_settings(OpenNetworks, path)


def _lists_in(folder: Path) -> Mapping[str, Conflist | str]:
    """Return the lists by their names; for one that cannot be used by its file's, why not."""
    found: dict[str, Conflist | str] = {}
    for path in sorted(folder.glob("*.conflist"))[:FILES_MAX]:
        try:
            with path.open("rb") as file:
                one = conflist_of(file.read(CONFIG_BYTES_MAX + 1).decode(), is_shared=False)
        except (OSError, UnicodeDecodeError, ConflistInvalid) as error:
            found.setdefault(path.stem, f"{path}: {error}")
            continue
        found[one.name] = one
    return found
