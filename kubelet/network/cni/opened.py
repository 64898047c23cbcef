"""Which of a node's further networks are open, and to pods of which namespaces. Pure.

None is by itself: every author of pods could else join all networks that the node can reach.
"""

from collections.abc import Mapping

import msgspec

from cubernetes.host.settings import Settings

EVERY = "*"


class OpenNetworks(Settings, frozen=True, kw_only=True):
    """open: by the name of a network the namespaces whose pods may join it; `*` are all."""

    open: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)

    def refusal(self, network: str, namespace: str) -> str:
        """Return why pods of a namespace may not join a network; empty: they may."""
        theirs = [one for one in sorted(self.open) if {EVERY, namespace} & {*self.open[one]}]
        if network in theirs:
            return ""
        return f"is not open to namespace {namespace} (open to it: {', '.join(theirs) or 'none'})"
