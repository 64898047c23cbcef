"""Which objects a command line means: `pods web-0`, `po,svc`, `rs/web svc/web`, `all`. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from cubectl.session import Misused
from cubernetes.api.meta import Object
from cubernetes.api.registry import KINDS, kind_named


@dataclass(frozen=True, slots=True)
class Target:
    """A kind, and the name of one object; without a name, all of the kind."""

    kind: type[Object]
    name: str = ""


def targets_in(words: Sequence[str]) -> list[Target]:
    """Return what is meant, in the order of the words.

    Raises: Misused, with the kinds that there are.
    """
    if not words:
        raise Misused(f"name a kind: {_offered()}")
    if "" in words[1:]:
        # An unset variable of a shell: never the same as no word, which may mean all of a kind.
        raise Misused("resource name may not be empty")
    if any("/" in word for word in words):
        return [_slashed(word) for word in words]
    kinds = _kinds_in(words[0])
    names = words[1:]
    if not names:
        return [Target(kind) for kind in kinds]
    if len(kinds) > 1:
        raise Misused("names need one kind: use KIND/NAME for objects of several kinds")
    return [Target(kinds[0], name) for name in names]


def _slashed(word: str) -> Target:
    kind_word, slash, name = word.partition("/")
    if slash and not name:
        raise Misused(f"{word!r}: resource name may not be empty")
    if not slash or not name or "/" in name:
        raise Misused(f"{word!r}: write every object as KIND/NAME")
    return Target(kind_called(kind_word), name)


def _kinds_in(word: str) -> list[type[Object]]:
    kinds: list[type[Object]] = []
    for part in word.split(","):
        category = [kind for kind in KINDS if part.lower() in kind.resource.categories]
        kinds += [kind for kind in category or [kind_called(part)] if kind not in kinds]
    return kinds


def kind_called(word: str) -> type[Object]:
    """Return the kind that a person means. Raises: Misused."""
    kind = kind_named(word)
    if kind is None:
        raise Misused(f"there is no kind {word[:80]!r}: {_offered()}")
    return kind


def _offered() -> str:
    return ", ".join("/".join((kind.resource.plural, *kind.resource.short_names)) for kind in KINDS)
