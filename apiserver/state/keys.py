"""Where an object lives in the store: `/cubernetes/<plural>[.<group>]/[<namespace>/]<name>`."""

from cubernetes.api.meta import Object

ROOT = "/cubernetes/"
CLUSTER_IPS = ROOT + "clusterips/"
NODE_PORTS = ROOT + "nodeports/"
TOKENS = ROOT + "tokens/"
MEMBERS = ROOT + "members/"
# Folders of what is no object: no kind may have them.
RESERVED = frozenset({"clusterips", "members", "nodeports", "tokens"})


def collection_of(kind: type[Object]) -> str:
    """Return the folder's name of a kind: `pods`, `replicasets.apps`."""
    resource = kind.resource
    if resource.folder:
        return resource.folder
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def prefix_of(kind: type[Object], namespace: str = "") -> str:
    """Return what the keys of a kind begin with, in one namespace or in all."""
    place = f"{namespace}/" if namespace else ""
    return f"{ROOT}{collection_of(kind)}/{place}"


def key_of(kind: type[Object], namespace: str, name: str) -> str:
    return prefix_of(kind, namespace) + name


def collection_in(key: str) -> str:
    """Return which folder a key lies in."""
    return key.split("/", 3)[2]
