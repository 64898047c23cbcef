"""Fields that are designed and that nothing obeys yet: refused by name."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cubernetes.api.errors import Problem


def not_built_problems(tree: Mapping[str, Any], fields: Iterable[str]) -> Iterator[Problem]:
    """Yield a problem for each of these fields of its spec that an object has."""
    spec = tree.get("spec")
    for name in fields:
        if isinstance(spec, Mapping) and name in spec:
            yield Problem(f"spec.{name}", "is not built yet", "FieldValueForbidden")
