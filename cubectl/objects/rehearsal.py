"""What the server says of documents before the first of them is written.

It judges each by what is there now. A document may need what an earlier one makes: its namespace,
a PriorityClass that it names, a LimitRange that fills it in. Such a refusal is no verdict: the
document is judged when its turn comes.
"""

import re
from collections.abc import Callable, Sequence

from cubectl.objects.manifests import Manifest
from cubectl.output.printers import safe
from cubernetes.api.errors import ApiError, Forbidden, NotFound

# Kinds that change what becomes of later objects of their namespace, and that no refusal names.
FILL_IN = frozenset({"LimitRange"})

# Rehearses a document; returns whether it would change anything. Raises: ApiError.
type Rehearse = Callable[[Manifest], bool]


def refusals_of(manifests: Sequence[Manifest], rehearse: Rehearse) -> dict[str, str]:
    """Return what the server refuses, by the place of the document."""
    changing: list[Manifest] = []
    refused: dict[str, str] = {}
    for manifest in manifests:
        try:
            is_change = rehearse(manifest)
        except ApiError as error:
            if not _may_pass_later(error, manifest, changing):
                refused[manifest.where] = safe(f"{manifest.where}: {error.message}")
                continue
            is_change = True
        if is_change:
            changing.append(manifest)
    return refused


def _may_pass_later(error: ApiError, manifest: Manifest, changing: Sequence[Manifest]) -> bool:
    """Whether an earlier document changes what a refusal is about."""
    if not isinstance(error, Forbidden | NotFound):
        return False
    return any(
        _is_named(one.name, error.message)
        or (one.kind.kind in FILL_IN and one.namespace == manifest.namespace)
        for one in changing
    )


def _is_named(name: str, message: str) -> bool:
    whole = rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)"
    return bool(name) and re.search(whole, message) is not None
