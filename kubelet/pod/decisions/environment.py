"""A container's environment and command line: `$(NAME)` is replaced as Kubernetes replaces it."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from cubernetes.api.core.podspec.container import EnvVar
from kubelet.runtime.driver import RuntimeTrouble

# Linux' MAX_ARG_STRLEN: a longer text cannot be given to any program. It also bounds what texts
# that name each other twice would grow to.
TEXT_BYTES_MAX = 128 * 1024
_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def environment_of(
    variables: Iterable[EnvVar],
    given: Mapping[str, str] | None = None,
    value_of: Callable[[EnvVar], str | None] | None = None,
) -> Mapping[str, str]:
    """Return the environment by name; a variable may use those before it, and those given.

    given: what the container gets besides, such as the services' variables; its own win.
    value_of: reads a variable that comes from elsewhere, as it stands there; None leaves it out.

    Raises: RuntimeTrouble: a value is longer than TEXT_BYTES_MAX.
    """
    found = dict(given or {})
    for one in variables:
        if one.value_from is not None and value_of is not None:
            value = value_of(one)
            found |= {one.name: value} if value is not None else {}
            continue
        found[one.name] = expanded(one.value, found, f"env {one.name}")
    return found


def missing_in(text: str, values: Mapping[str, str]) -> list[str]:
    """Return the names that a text refers to and that have no value."""
    names = (match[1] for match in _REFERENCE.finditer(text))
    return sorted({name for name in names if name is not None and name not in values})


def expanded_all(texts: Sequence[str], values: Mapping[str, str], what: str) -> tuple[str, ...]:
    """Return a command or its arguments with every reference replaced.

    Raises: RuntimeTrouble: one is longer than TEXT_BYTES_MAX.
    """
    return tuple(expanded(text, values, f"{what}[{at}]") for at, text in enumerate(texts))


def expanded(text: str, values: Mapping[str, str], what: str) -> str:
    """Return text with each `$(NAME)` replaced by its value; what names the text in an error.

    A name without a value stays as it stands, and `$$` is one `$`, so that `$$(NAME)` comes out as
    `$(NAME)`.

    Raises: RuntimeTrouble: it becomes longer than TEXT_BYTES_MAX.
    """
    parts: list[str] = []
    size, end = 0, 0
    for match in _REFERENCE.finditer(text):
        name = match[1]
        value = "$" if name is None else values.get(name, match[0])
        for part in (text[end : match.start()], value):
            parts.append(part)
            size += len(part)
        end = match.end()
        if size > TEXT_BYTES_MAX:
            break
    parts.append(text[end:])
    if size > TEXT_BYTES_MAX or len("".join(parts).encode()) > TEXT_BYTES_MAX:
        message = f"{what} is longer than {TEXT_BYTES_MAX} bytes with its $(NAME) replaced"
        raise RuntimeTrouble("CreateContainerConfigError", message)
    return "".join(parts)
