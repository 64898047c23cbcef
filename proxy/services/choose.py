"""The backend of this node, as its settings say."""

from cubernetes.host.env import Env
from proxy.services.apply import rules_of_this_node
from proxy.services.backend import Backend
from proxy.services.iptables import IptablesBackend
from proxy.services.served import Facts
from proxy.settings import ProxySettings


async def backend_of_this_node(settings: ProxySettings, env: Env, facts: Facts) -> Backend:
    """Return the backend that the settings name. Raises: CommandFailed, where it cannot run."""
    rules = await rules_of_this_node(env.commands, settings.iptables, settings.service_range)
    return IptablesBackend(rules, facts)
