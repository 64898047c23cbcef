"""This gateway's Lease: the cluster sees by it which nodes have a gateway."""

from datetime import datetime

from cubernetes.api.coordination.lease import (
    GATEWAY_LEASE_PREFIX,
    NODE_LEASE_NAMESPACE,
    Lease,
    LeaseSpec,
)
from cubernetes.api.core.node import Node
from cubernetes.api.errors import AlreadyExists, ApiError, NotFound
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.client.outcome import Trouble
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.log import Log

log = Log(__name__)

RENEW_S = 5.0
DURATION_S = 20


def lease_name(node: str) -> str:
    return f"{GATEWAY_LEASE_PREFIX}{node}"


class Presence:
    """Renews the Lease of a gateway that serves."""

    def __init__(self, client: Client, node: str, env: Env) -> None:
        self._client, self._node, self._env = client, node, env
        self._is_failing = False

    async def run(self) -> None:
        """Renew it until cancelled. It stays then: nginx serves on."""
        while True:
            try:
                await self._renew()
            except (ApiError, Trouble) as error:
                if not self._is_failing:
                    log.warning("the gateway's lease is not renewed", error=error)
                self._is_failing = True
            else:
                self._is_failing = False
            await self._env.clock.sleep(RENEW_S)

    async def _renew(self) -> None:
        now = self._env.clock.now()
        change = {"spec": {"renewTime": now.isoformat(), "holderIdentity": self._node}}
        try:
            await self._client.patch(Lease, lease_name(self._node), NODE_LEASE_NAMESPACE, change)
        except NotFound:
            await self._make(now)

    async def _make(self, now: datetime) -> None:
        node = await self._client.get(Node, self._node)
        owner = replaced(node.owner_reference(), controller=False)
        meta = ObjectMeta(
            name=lease_name(self._node),
            namespace=NODE_LEASE_NAMESPACE,
            owner_references=(owner,),
        )
        spec = LeaseSpec(
            holder_identity=self._node,
            lease_duration_seconds=DURATION_S,
            acquire_time=now,
            renew_time=now,
        )
        try:
            # By its name, not into the collection: a gateway may write this Lease and no other.
            await self._client.update(Lease(metadata=meta, spec=spec))
        except AlreadyExists:
            return
