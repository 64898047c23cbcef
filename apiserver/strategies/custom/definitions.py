"""Definitions of custom kinds: what is stored is noted, and they go after their objects. Pure."""

from apiserver.state.items import Seen
from apiserver.storage.store import Op
from apiserver.strategies.strategy import Cluster, Draw, Strategy
from cubernetes.api.apiextensions.customresourcedefinition import (
    FINALIZER,
    CustomResourceDefinition,
    CustomResourceDefinitionStatus,
)
from cubernetes.api.meta import replaced


class CustomResourceDefinitions(Strategy[CustomResourceDefinition]):
    """Its status is the server's: what it stores, and under which names it serves."""

    is_answered_with_object = True

    def prepared(self, new: CustomResourceDefinition) -> CustomResourceDefinition:
        finalizers = new.metadata.finalizers
        if FINALIZER not in finalizers:
            finalizers = (*finalizers, FINALIZER)
        return replaced(
            new,
            metadata=replaced(new.metadata, finalizers=finalizers),
            status=CustomResourceDefinitionStatus(stored_versions=(new.stored_version,)),
        )

    def changed(
        self,
        cluster: Cluster,
        old: CustomResourceDefinition,
        new: CustomResourceDefinition,
        seen: Seen,
        draw: Draw,
    ) -> tuple[CustomResourceDefinition, tuple[Op, ...]]:
        """A version that is stored from now on is noted before anything is stored in it."""
        known = new.status.stored_versions
        if new.stored_version not in known:
            status = replaced(new.status, stored_versions=(*known, new.stored_version))
            new = replaced(new, status=status)
        return super().changed(cluster, old, new, seen, draw)
