"""What is wrong with a manifest, as far as its kind's model tells before anything is sent.

A kind that is newer than this program is judged by the server alone.
"""

from cubectl.api import Validation
from cubectl.objects.manifests import NAMELESS, Manifest
from cubernetes.api.coding import codec
from cubernetes.api.errors import ApiError
from cubernetes.api.meta import Object, replaced
from cubernetes.api.registry import KINDS


def model_of(manifest: Manifest) -> type[Object] | None:
    return KINDS.of(manifest.kind.api_version, manifest.kind.kind)


def problems_of(manifest: Manifest, validation: Validation) -> list[str]:
    """Return everything that is wrong with a document, each with its field."""
    kind, word = model_of(manifest), manifest.kind.kind
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
