"""How a kind is addressed: its group, its names, its paths, and what can be done to it."""

from typing import NamedTuple

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class Resource(NamedTuple):
    """How a kind is addressed: group is empty for the core kinds."""

    group: str
    version: str
    kind: str
    plural: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    # The sub-resources it has beside itself: status, scale, binding, log.
    subresources: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    # What can be done to it; a kind that lacks a verb says so.
    verbs: tuple[str, ...] = VERBS
    # Whether a PUT of one that is absent creates it, as for these kinds in Kubernetes.
    is_created_by_put: bool = False
    # What its objects are kept under, where another version of the kind has the usual name.
    folder: str = ""
    # Whether a definition in the cluster made it: then its kind's name may be another group's too.
    is_custom: bool = False
    # Its names where they are not made of the kind's.
    singular_name: str = ""
    list_name: str = ""

    @property
    def qualified_kind(self) -> str:
        """Return the kind as refusals name it: `Pod`, `ReplicaSet.apps`."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def singular(self) -> str:
        return self.singular_name or self.kind.lower()

    @property
    def list_kind(self) -> str:
        """Return the kind of its lists."""
        return self.list_name or f"{self.kind}List"

    @property
    def word(self) -> str:
        """Return the kind as a Ref and a metric name it: in one word that no other kind has."""
        return self.qualified_kind if self.is_custom else self.kind

    @property
    def counts_changes(self) -> bool:
        """Whether metadata.generation counts the changes of what is wanted."""
        return self.has_status or self.is_custom

    @property
    def has_status(self) -> bool:
        """Whether its status is written apart; then the changes of its spec are counted."""
        return "status" in self.subresources

    @property
    def api_version(self) -> str:
        """What stands in an object's apiVersion: `v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """The path under which its group is served: `/api/v1`, `/apis/apps/v1`."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    def is_called(self, word: str) -> bool:
        """Tell whether a person means this kind by `po`, `pod`, `Pods`, `replicasets.apps`."""
        plain, _, group = word.lower().partition(".")
        is_named = plain in (self.singular, self.plural, *self.short_names)
        return is_named and group in ("", self.group, f"{self.version}.{self.group}")
