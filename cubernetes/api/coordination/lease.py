"""Lease: a claim that must be renewed: a node's sign of life, a leader's right to act."""

from collections.abc import Iterator
from typing import Self

import msgspec

from cubernetes.api.errors import Problem
from cubernetes.api.meta import (
    Column,
    Count,
    Instant,
    Model,
    Object,
    Seconds,
    age_of,
    replaced,
    shown,
)
from cubernetes.api.microtime import with_micros
from cubernetes.api.resource import Resource

NODE_LEASE_NAMESPACE = "kube-node-lease"


class LeaseSpec(Model):
    """Which process holds the claim, and until when.

    holder_identity: the holder; empty where there is none.
    lease_duration_seconds: how long after `renewTime` it is still the holder's; left out, those
        who wait for it know by themselves.
    acquire_time: when the holder took it.
    renew_time: when the holder renewed it last.
    lease_transitions: how often the holder has changed: the fencing number of a leader.
    """

    holder_identity: str = ""
    lease_duration_seconds: Seconds | None = None
    acquire_time: Instant | None = None
    renew_time: Instant | None = None
    lease_transitions: Count = 0


class Lease(Object):
    resource = Resource("coordination.k8s.io", "v1", "Lease", "leases", is_created_by_put=True)
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Holder", lambda one, _: one.spec.holder_identity),
        Column("Age", age_of),
    )

    api_version: str = shown("coordination.k8s.io/v1")
    kind: str = shown("Lease")
    spec: LeaseSpec = msgspec.field(default_factory=LeaseSpec)

    def defaulted(self) -> Self:
        spec: LeaseSpec = replaced(
            self.spec,
            acquire_time=with_micros(self.spec.acquire_time),
            renew_time=with_micros(self.spec.renew_time),
        )
        return replaced(Object.defaulted(self), spec=spec)

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        if self.spec.lease_duration_seconds == 0:
            yield Problem("spec.leaseDurationSeconds", "must be greater than 0")
