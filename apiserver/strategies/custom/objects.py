"""Objects of custom kinds: their status is written apart where their version says so. Pure."""

from apiserver.state.items import Item, Seen
from apiserver.state.keys import key_of
from apiserver.storage.store import Op
from apiserver.strategies.strategy import Cluster, Strategy
from cubernetes.api.apiextensions.customresourcedefinition import CustomResourceDefinition
from cubernetes.api.custom.objects import CustomObject
from cubernetes.api.errors import Forbidden
from cubernetes.host.web.messages import Identity

GOING = "create not allowed while custom resource definition is terminating"


class CustomObjects(Strategy[CustomObject]):
    """What objects of all custom kinds have in common."""

    def prepared(self, new: CustomObject) -> CustomObject:
        return new.with_status_of(None) if new.resource.has_status else new

    def updated(self, old: CustomObject, new: CustomObject) -> CustomObject:
        return new.with_status_of(old) if new.resource.has_status else new

    def with_status_of(self, one: CustomObject, new: CustomObject) -> CustomObject:
        # Of what is sent no more than the status is taken, and so no more has defaults.
        return one.with_status_of(new.defaulted())

    def keys_beside(self, name: str, new: CustomObject | None = None) -> tuple[str, ...]:  # noqa: ARG002
        """A new object is read with its definition: with one that goes, nothing new comes."""
        if new is None:
            return ()
        resource = new.resource
        return (key_of(CustomResourceDefinition, "", f"{resource.plural}.{resource.group}"),)

    def creation(
        self, cluster: Cluster, identity: Identity, new: CustomObject, seen: Seen
    ) -> tuple[CustomObject, tuple[Op, ...]]:
        (key,) = self.keys_beside(new.metadata.name, new)
        found = seen[key]
        if not isinstance(found, Item) or found.object.metadata.is_deleted:
            resource = new.resource
            message = (
                f'{resource.plural}.{resource.group} "{new.metadata.name}" is forbidden: {GOING}'
            )
            raise Forbidden(message, kind=resource.plural, name=new.metadata.name)
        return super().creation(cluster, identity, new, seen)
