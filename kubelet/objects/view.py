"""What this node's pods need of other objects: some are followed, services kept, the rest read."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.api.core.podspec.references import (
    Named,
    claims_in,
    named_in,
    named_in_volumes,
    pull_secrets_of,
)
from cubernetes.api.core.secret import Secret
from cubernetes.api.core.service import Service
from cubernetes.api.meta import Object
from cubernetes.client.informer import Informer
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.timing.waiting import wait_until
from kubelet.checkpoint import Checkpoint
from kubelet.objects.followed import FollowedObjects
from kubelet.objects.origins import CONFIG_ERROR, Origins
from kubelet.objects.reader import Reader
from kubelet.objects.services import API_NAME, API_NAMESPACE, service_variables
from kubelet.objects.tokens import PodTokens
from kubelet.runtime.driver import RuntimeTrouble

log = Log(__name__)

SERVICES_FILE = ("checkpoint", "services")
# How long a container's start waits for the first list of services before the kept ones count.
SYNC_WAIT_S = 5.0
SAVE_PAUSE_S = 1.0  # between two savings: services come in batches


class PodObjects:
    """The view of other kinds. Run `services`, `follow` and `keep_saved` beside the workers."""

    def __init__(self, client: Client, env: Env, checkpoint: Checkpoint) -> None:
        self._env, self._checkpoint = env, checkpoint
        self._reader = Reader(client)
        self._followed = FollowedObjects(client, env)
        self.tokens = PodTokens(client, env)
        self.follow, self.on_news = self._followed.run, self._followed.on_news
        self.services = Informer(client, Service, env)
        self.services.on_change(self._on_service)
        # None: which pods are here is not known yet, nor which services are worth keeping.
        self._namespaces: frozenset[str] | None = None
        self._kept: Sequence[Service] | None = None  # what was saved last; None: not known
        self._unsaved = asyncio.Event()
        self._began_at_s = env.clock.monotonic()

    def want(self, pods: Iterable[Pod]) -> None:
        """Take the complete list of this node's pods."""
        here = list(pods)
        self._reader.keep(here)
        self._followed.want(here)
        self.tokens.want(here)
        self._namespaces = frozenset(one.metadata.namespace for one in here)
        self._unsaved.set()

    async def origins(self, pod: Pod, wanted: Wanted, pod_address: str, host: str) -> Origins:
        """Return what the variables of a container are made from.

        Raises: RuntimeTrouble: something of it cannot be read now.
        """
        namespace = pod.metadata.namespace
        objects = await self._reader.read(namespace, named_in(wanted))
        services = await self._services_known()
        has_links = pod.spec.enable_service_links
        variables = service_variables(services, namespace, has_links=has_links)
        return Origins(objects, variables, pod_address, host)

    async def pull_secrets(self, pod: Pod) -> tuple[list[Secret], list[str]]:
        """Return the Secrets with which a pod's images are pulled, and the names of the missing.

        One that cannot be read now is as good as missing: the image may be had without it.
        """
        found: list[Secret] = []
        missing: list[str] = []
        namespace, names = pod.metadata.namespace, dict.fromkeys(pull_secrets_of(pod.spec))
        for named in names:
            try:
                one = (await self._reader.read(namespace, [named])).get(named)
            except RuntimeTrouble as error:
                log.debug("pull secret not read", name=named.name, why=error)
                one = None
            if isinstance(one, Secret):
                found.append(one)
            else:
                missing.append(named.name)
        return found, missing

    async def of_volumes(self, pod: Pod) -> tuple[dict[Named, Object], frozenset[Named]]:
        """Return what a pod's volumes are made from, and that of which nothing is known yet."""
        return await self._followed.known(pod.metadata.namespace, named_in_volumes(pod.spec))

    async def claims_of(self, pod: Pod) -> tuple[dict[Named, Object], frozenset[Named]]:
        """Return the claims whose volumes a pod mounts, and those of which nothing is known yet."""
        return await self._followed.known(pod.metadata.namespace, claims_in(pod.spec))

    def of_volumes_now(self, pod: Pod) -> tuple[dict[Named, Object], frozenset[Named]]:
        """Return the same without waiting for what is not known yet."""
        return self._followed.known_now(pod.metadata.namespace, named_in_volumes(pod.spec))

    def serve(self, pod: Pod) -> bool:
        """Whether a service selects the pod; also where the services are not known yet."""
        if not self.services.synced.is_set():
            return True
        here = self.services.cache.list(pod.metadata.namespace)
        return any(one.selects(pod.metadata.labels) for one in here)

    async def keep_saved(self) -> None:
        """Save the services of the pods' namespaces whenever they have changed."""
        await self.services.synced.wait()
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            if self._namespaces is None:
                continue
            wanted = self._relevant(self.services.cache.list(), self._namespaces)
            if wanted != self._kept:
                await self._save(wanted)
            await self._env.clock.sleep(SAVE_PAUSE_S)

    async def _save(self, wanted: Sequence[Service]) -> None:
        save = partial(self._checkpoint.save_services, wanted)
        try:
            await self._env.blocking.run(SERVICES_FILE, save)
        except OSError as error:
            log.warning("checkpoint not saved", why=error)
            self._unsaved.set()
            return
        self._kept = wanted

    async def _services_known(self) -> Sequence[Service]:
        waited_s = self._env.clock.monotonic() - self._began_at_s
        if not self.services.synced.is_set() and waited_s < SYNC_WAIT_S:
            await wait_until(self.services.synced, SYNC_WAIT_S - waited_s)
        if self.services.synced.is_set():
            return self.services.cache.list()
        if self._kept is None:
            load: Callable[[], Sequence[Service]] = self._checkpoint.load_services
            try:
                self._kept = await self._env.blocking.run(SERVICES_FILE, load)
            except OSError as error:
                log.warning("checkpoint not read", why=error)
        if not self._kept:
            # Kubernetes' kubelet waits as well: every cluster has the API server's service.
            message = "services have not yet been read at least once, cannot construct envvars"
            raise RuntimeTrouble(CONFIG_ERROR, message)
        return self._kept

    def _relevant(
        self, services: Iterable[Service], namespaces: frozenset[str]
    ) -> tuple[Service, ...]:
        api = (API_NAMESPACE, API_NAME)
        return tuple(
            one
            for one in services
            if one.metadata.namespace in namespaces
            or (one.metadata.namespace, one.metadata.name) == api
        )

    def _on_service(self, _old: Object | None, _new: Object | None) -> None:
        self._unsaved.set()
