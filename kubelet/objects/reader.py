"""Reads the ConfigMaps and Secrets that containers name, and remembers them while pods name them.

They are read when a container starts. Where the API does not answer, what was read last counts, so
that a container which ends is started again during an outage; nothing of it is written to disk.
"""

import asyncio
from collections.abc import Iterable

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.references import Named, named_by
from cubernetes.api.core.secret import Secret
from cubernetes.api.errors import (
    ApiError,
    NotFound,
)
from cubernetes.api.meta import Object
from cubernetes.client.outcome import UNDECIDED, Trouble
from cubernetes.client.rest import Client
from kubelet.objects.origins import CONFIG_ERROR
from kubelet.runtime.driver import RuntimeTrouble

READ_DEADLINE_S = 10.0
KINDS: dict[str, type[Object]] = {"ConfigMap": ConfigMap, "Secret": Secret}


class Reader:
    """One read of each object at a time costs nobody anything: containers start a few at once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[tuple[str, Named], Object] = {}

    def keep(self, pods: Iterable[Pod]) -> None:
        """Forget what no pod of this node names any more."""
        needed = {(one.metadata.namespace, named) for one in pods for named in named_by(one.spec)}
        self._known = {key: one for key, one in self._known.items() if key in needed}

    async def read(self, namespace: str, wanted: Iterable[Named]) -> dict[Named, Object]:
        """Return the objects as they are now; what does not exist is left out.

        Raises: RuntimeTrouble: one cannot be read and was never read before.
        """
        found: dict[Named, Object] = {}
        for named in sorted(wanted):
            one = await self._one(namespace, named)
            if one is not None:
                found[named] = one
        return found

    async def _one(self, namespace: str, named: Named) -> Object | None:
        key = (namespace, named)
        try:
            async with asyncio.timeout(READ_DEADLINE_S):
                one = await self._client.get(KINDS[named.kind], named.name, namespace)
        except NotFound:
            self._known.pop(key, None)
            return None
        except (Trouble, *UNDECIDED, TimeoutError) as error:
            if key in self._known:
                return self._known[key]
            raise _unread(named, error) from error
        except ApiError as error:
            raise _unread(named, error) from error
        self._known[key] = one
        return one


def _unread(named: Named, error: Exception) -> RuntimeTrouble:
    why = str(error) or f"no answer within {READ_DEADLINE_S:.0f} s"
    return RuntimeTrouble(CONFIG_ERROR, f'{named.kind.lower()} "{named.name}" not read: {why}')
