"""What is wrong with a manifest, as far as its kind's model tells before anything is sent.

A kind that is newer than this program is judged by the server alone. Of the kinds that this program
knows, only those that are asked for are imported.
"""

from importlib import import_module

from cubectl.api import Validation
from cubectl.objects.manifests import NAMELESS, Manifest
from cubernetes.api.coding import codec
from cubernetes.api.errors import ApiError
from cubernetes.api.meta import Object, replaced
from cubernetes.api.resource import Resource


def model_of(kind: Resource) -> type[Object] | None:
    """Return what this program knows of a kind's fields; None where it knows no such kind.

    A kind's class is found by its name: a test of the house keeps each in the file of its name, in
    the folder of its group.
    """
    folder, name = kind.group.split(".")[0] or "core", kind.kind
    if not (folder.isidentifier() and name.isidentifier()):
        return None
    path = f"{Object.__module__.rpartition('.')[0]}.{folder}.{name.lower()}"
    try:
        found = getattr(import_module(path), name, None)
    except ModuleNotFoundError as error:
        # The server's word for a kind of its own; what a known kind lacks is another matter.
        if error.name is None or not path.startswith(error.name):
            raise
        return None
    # A kind of another group, or another thing altogether, may have the name.
    if not (isinstance(found, type) and issubclass(found, Object)):
        return None
    one = found.resource
    # A review is answered and never kept: it has no name, and the server alone judges it.
    is_kept = "get" in one.verbs
    return found if is_kept and one.api_version == kind.api_version else None


def problems_of(manifest: Manifest, validation: Validation) -> list[str]:
    """Return everything that is wrong with a document, each with its field."""
    kind, word = model_of(manifest.kind), manifest.kind.kind
    if kind is None:
        return []
    try:
        one = codec.from_tree(kind, manifest.tree, validation, is_status_heard=False).model
    except ApiError as error:
        fields = [f"{problem.field}: {problem.message}" for problem in error.problems]
        return [f"{word}: {told}" for told in fields or [error.message]]
    if not one.metadata.name and not one.metadata.generate_name:
        return [f"{word}: metadata.name: {NAMELESS}"]
    # Where the server is to make a name up, it judges that; the rest is judged here.
    meta = replaced(one.metadata, name=one.metadata.name or "generated")
    title = f"{word}/{one.metadata.name}" if one.metadata.name else word
    problems = replaced(one, metadata=meta).defaulted().problems()
    return [f"{title}: {problem.field}: {problem.message}" for problem in problems]
