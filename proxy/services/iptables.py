"""The iptables backend: all services to one set of rules; the chains that differ are written."""

from collections.abc import Awaitable, Callable
from functools import partial

from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.meta import Object, Ref
from cubernetes.host.packetfilter.iptables import Applied
from cubernetes.host.packetfilter.ruleset import RuleSet
from proxy.services.apply import ServiceRules
from proxy.services.backend import Outcome, Snapshot
from proxy.services.compile import Compiler
from proxy.services.saved import decoded, encoded
from proxy.services.served import Facts


class IptablesBackend:
    """Implements `proxy.services.backend.Backend`."""

    def __init__(
        self,
        rules: ServiceRules,
        facts: Facts,
        succeed: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """succeed: takes away what another backend wrote, once these rules serve."""
        self._rules, self._succeed = rules, succeed
        self._compiler = Compiler(facts)
        self._services: dict[Ref, Service] = {}
        self._slices: dict[Ref, EndpointSlice] = {}
        # What was compiled last, and whether an object has changed since.
        self._wanted, self._is_stale = RuleSet(), True
        self._version = 0

    def service_changed(self, old: Service | None, new: Service | None) -> None:
        _take(self._services, old, new)
        self._is_stale = True

    def slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        _take(self._slices, old, new)
        self._is_stale = True

    @property
    def skipped(self) -> tuple[str, ...]:
        return self._compiler.skipped

    async def apply(self) -> Outcome:
        return await self._succeeded(await self._rules.apply(self._compiled()))

    async def check(self) -> Outcome:
        return await self._succeeded(await self._rules.check(self._compiled()))

    async def are_there(self) -> bool:
        return await self._rules.are_there()

    async def restore(self, saved: bytes) -> Outcome:
        return _outcome(await self._rules.check(decoded(saved)))

    def snapshot(self) -> Snapshot:
        return Snapshot(self._version, partial(encoded, self._wanted))

    async def _succeeded(self, applied: Applied) -> Outcome:
        if self._succeed is not None:
            await self._succeed()
            self._succeed = None
        return _outcome(applied)

    def _compiled(self) -> RuleSet:
        """Return what the services of now want; the same object where none has changed."""
        if self._is_stale:
            self._wanted = self._compiler.compile(self._services.values(), self._slices.values())
            self._is_stale = False
            self._version += 1
        return self._wanted


def _take[O: Object](known: dict[Ref, O], old: O | None, new: O | None) -> None:
    if new is not None:
        known[new.ref] = new
    elif old is not None:
        known.pop(old.ref, None)


def _outcome(applied: Applied) -> Outcome:
    return Outcome(applied.is_written, len(applied.changed), len(applied.after.chains))
