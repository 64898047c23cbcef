"""Variables of containers: those that a ConfigMap or Secret has, and what `--list` tells. Pure."""

import re
from collections.abc import Collection, Iterator, Mapping

from cubectl.output.printers import safe
from cubernetes.api.notation.jsontext import Tree

# Of the kinds that variables come from: the field of `valueFrom`.
SOURCES: Mapping[str, str] = {"configmaps": "configMapKeyRef", "secrets": "secretKeyRef"}
_NO_LETTER = re.compile(r"[^A-Za-z0-9_]")
_TOLD: Mapping[str, str] = {"configMapKeyRef": "configmap", "secretKeyRef": "secret"}


def variables_from(
    source: Tree, field: str, keys: Collection[str], prefix: str
) -> Mapping[str, Tree]:
    """Return a variable for each key of an object, or for those of them that are named.

    The names are kubectl's: in capitals, with an underscore for what a name may not have. Keys of
    binaryData are none: no variable can hold them, and a container that names one does not start.
    """
    name = source["metadata"]["name"]
    return {
        prefix + _NO_LETTER.sub("_", key).upper(): {field: {"name": name, "key": key}}
        for key in sorted(source.get("data") or ())
        if not keys or key in keys
    }


def lines_of(word: str, containers: Collection[Tree]) -> Iterator[str]:
    """Yield what `--list` tells of an object's containers; word: how the object was named."""
    for one in containers:
        yield safe(f"# {word}, container {one['name']}")
        for each in one.get("env") or ():
            yield safe(_line_of(each))


def _line_of(variable: Tree) -> str:
    name, source = variable["name"], variable.get("valueFrom")
    if not source:
        return f"{name}={variable.get('value', '')}"
    for field, kind in _TOLD.items():
        if field in source:
            return f"# {name} from {kind} {source[field]['name']}, key {source[field]['key']}"
    if "fieldRef" in source:
        return f"# {name} from field path {source['fieldRef']['fieldPath']}"
    resource = (source.get("resourceFieldRef") or {}).get("resource", "")
    return f"# {name} from resource {resource}"
