"""The backend of this node, as its settings say."""

from functools import partial

from cubernetes.host.command import CommandFailed, SystemCommands
from cubernetes.host.env import Env
from cubernetes.host.packetfilter.nftsocket import NftSocket
from cubernetes.host.program import CannotGoOn
from proxy.services.apply import rules_of_this_node
from proxy.services.backend import Backend
from proxy.services.iptables import IptablesBackend
from proxy.services.nftables.backend import NftablesBackend
from proxy.services.nftables.table import Table
from proxy.services.served import Facts
from proxy.settings import ProxySettings


async def backend_of_this_node(
    settings: ProxySettings, env: Env, facts: Facts, kernel: NftSocket | None = None
) -> Backend:
    """Return the backend that the settings name.

    kernel: of this machine, unless commands are another's. Raises: CommandFailed; CannotGoOn, where
    this machine cannot run it.
    """
    # Other commands than the system's act on another kernel than ours, or on none.
    if kernel is None and isinstance(env.commands, SystemCommands):
        kernel = NftSocket()
    table = Table(kernel, env.blocking) if kernel else None
    rules = partial(rules_of_this_node, env.commands, settings.iptables, settings.service_range)
    if settings.backend == "iptables":
        return IptablesBackend(await rules(), facts, table.remove if table else None)
    if table is None:
        raise CannotGoOn("backend nftables: there is no kernel to ask for it")
    try:
        await table.generation()
    except CommandFailed as error:
        why = f"backend nftables: this kernel has no nf_tables ({error.said}): choose iptables"
        raise CannotGoOn(why) from error
    return NftablesBackend(table, env.commands, await rules(table.generation_now), facts)
