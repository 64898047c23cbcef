"""One pod's place in the network: its own, with an address of the pod range, or the node's."""

from functools import partial

from cubernetes.api.core.pod import Pod, is_finished
from kubelet.network.driver import NetworkTrouble
from kubelet.pod.decisions import specs
from kubelet.pod.decisions.wishes import wishes_of
from kubelet.pod.parts import Parts
from kubelet.runtime.driver import Container


class Wire:
    """Each act may be repeated after a crash. A pod in the node's network has nothing to wire."""

    def __init__(self, uid: str, parts: Parts) -> None:
        self._uid, self._parts = uid, parts
        self._seen_id = ""  # the sandbox that this life has seen wired

    async def reserve(self, pod: Pod) -> str:
        """Return the address that the pod will have; empty where only its wire will tell it.

        A pod that is made again keeps its address: services lead to it also while nobody can
        tell them of another.

        Raises: NetworkTrouble.
        """
        if pod.spec.host_network:
            return self._parts.host_address
        return str(await self._parts.network.reserve(self._uid) or "")

    async def is_seen(self, pod: Pod, sandbox: Container | None) -> bool:
        """Whether this life has seen the running sandbox wired, or there is none to wire.

        A range that the node is given anew takes the addresses of before with it.
        """
        if sandbox is None:
            return True
        return self._seen_id == sandbox.id and bool(await self.address(pod))

    async def join(self, pod: Pod, sandbox: Container) -> None:
        """Wire a running sandbox. Raises: NetworkTrouble."""
        if not pod.spec.host_network:
            network, wishes = self._parts.network, wishes_of(pod, sandbox.id)
            address = str(await network.attach(self._uid, sandbox.netns, wishes))
            if await network.reserve(self._uid) is None:
                await self._tell_own_names(pod, sandbox, address)
            self.lead(pod, address)
        self._seen_id = sandbox.id

    def lead(self, pod: Pod, address: str) -> None:
        """Lead the node's ports to the pod, unless they are its own or its network leads them.

        Those of a pod that is over may be another's by now.
        """
        if pod.spec.host_network or is_finished(pod):
            return
        if not self._parts.network.maps_ports:
            self._parts.host_ports.lead(pod, address)

    async def leave(self) -> None:
        """Take the pod's wire away and free its address; absent is nothing."""
        self._parts.host_ports.drop(self._uid, await self._own_address())
        await self._parts.network.detach(self._uid)

    async def address(self, pod: Pod) -> str:
        """Return the pod's address; empty where it has none."""
        if pod.spec.host_network:
            return self._parts.host_address
        return await self._own_address()

    async def _tell_own_names(self, pod: Pod, sandbox: Container, address: str) -> None:
        """Let a pod find itself by its names: its address was not known when it was made."""
        names = specs.own_names(pod, self._parts.settings)
        write = partial(self._parts.add_host, sandbox.pid, address, names)
        try:
            await self._parts.env.blocking.run(("pod", f"{self._uid}/hosts"), write)
        except OSError as error:
            raise NetworkTrouble(f"/etc/hosts of the pod: {error}") from error

    async def _own_address(self) -> str:
        held = await self._parts.network.attached()
        return str(held.get(self._uid, ""))
