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
from cubernetes.client.outcome import UNDECIDED, TransportError
from cubernetes.client.rest import Client
from kubelet.objects.origins import CONFIG_ERROR
from kubelet.runtime.driver import RuntimeTrouble

READ_DEADLINE_S = 10.0  # for all that a container names
READS_MAX = 8
KINDS: dict[str, type[Object]] = {"ConfigMap": ConfigMap, "Secret": Secret}


class Reader:
    """Reads what one container names at a time: containers start a few at once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[tuple[str, Named], Object] = {}

    def keep(self, pods: Iterable[Pod]) -> None:
        """Forget what no pod of this node names any more."""
        needed = {(one.metadata.namespace, named) for one in pods for named in named_by(one.spec)}
        self._known = {key: one for key, one in self._known.items() if key in needed}

    async def read(self, namespace: str, wanted: Iterable[Named]) -> dict[Named, Object]:
        """Return the objects as they are now; what does not exist is left out.

        They are read side by side, READS_MAX at a time, and have one deadline together.

        Raises: RuntimeTrouble: one cannot be read and was never read before.
        """
        names = sorted(wanted)
        ends_at = asyncio.get_running_loop().time() + READ_DEADLINE_S
        seats = asyncio.Semaphore(READS_MAX)
        reads = (self._one(namespace, named, seats, ends_at) for named in names)
        # All of them end before the first failure is told: none goes on unseen.
        found = await asyncio.gather(*reads, return_exceptions=True)
        objects: dict[Named, Object] = {}
        for named, one in zip(names, found, strict=True):
            if isinstance(one, BaseException):
                raise one
            if one is not None:
                objects[named] = one
        return objects

    async def _one(
        self, namespace: str, named: Named, seats: asyncio.Semaphore, ends_at: float
    ) -> Object | None:
        key = (namespace, named)
        try:
            async with asyncio.timeout_at(ends_at), seats:
                one = await self._client.get(KINDS[named.kind], named.name, namespace)
        except NotFound:
            self._known.pop(key, None)
            return None
        except (TransportError, *UNDECIDED, TimeoutError) as error:
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
