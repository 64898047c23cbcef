"""Which objects a command line means: `pods web-0`, `po,svc`, `rs/web svc/web`, `all`."""

from collections.abc import Sequence
from typing import NamedTuple

from cubectl.kinds import Kinds
from cubectl.session import Misused
from cubernetes.api.resource import Resource

PODS = Resource("", "v1", "Pod", "pods")


class Target(NamedTuple):
    """A kind, and the name of one object; without a name, all of the kind."""

    kind: Resource
    name: str = ""


def targets_in(words: Sequence[str], kinds: Kinds) -> list[Target]:
    """Return what is meant, in the order of the words.

    Raises: Misused, with the kinds that there are.
    """
    if not words:
        raise Misused(f"name a kind: {_offered(kinds)}")
    if "" in words[1:]:
        # An unset variable of a shell: never the same as no word, which may mean all of a kind.
        raise Misused("resource name may not be empty")
    if any("/" in word for word in words):
        return [_slashed(word, kinds) for word in words]
    found = _kinds_in(words[0], kinds)
    names = words[1:]
    if not names:
        return [Target(kind) for kind in found]
    if len(found) > 1:
        raise Misused("names need one kind: use KIND/NAME for objects of several kinds")
    return [Target(found[0], name) for name in names]


def target_in(word: str, kinds: Kinds) -> Target:
    """Return what one word means, an object or all of a kind. Raises: Misused."""
    found = targets_in([word], kinds)
    if len(found) != 1:
        raise Misused(f"{word[:80]!r}: name one kind")
    return found[0]


def _slashed(word: str, kinds: Kinds) -> Target:
    kind_word, slash, name = word.partition("/")
    if slash and not name:
        raise Misused(f"{word!r}: resource name may not be empty")
    if not slash or "/" in name:
        raise Misused(f"{word!r}: write every object as KIND/NAME")
    return Target(kind_called(kind_word, kinds), name)


def _kinds_in(word: str, kinds: Kinds) -> list[Resource]:
    found: list[Resource] = []
    for part in word.split(","):
        category = kinds.catalog.of_category(part)
        found += [kind for kind in category or [kind_called(part, kinds)] if kind not in found]
    return found


def pod_called(word: str, kinds: Kinds, why: str) -> str:
    """Return the name of the pod that a word means: `web-0`, `po/web-0`.

    Raises: Misused, for the reason given: it means something else.
    """
    if "/" not in word:
        return word
    target = _slashed(word, kinds)
    if target.kind.plural != PODS.plural or target.kind.group:
        raise Misused(f"{word!r}: {why}")
    return target.name


def kind_called(word: str, kinds: Kinds) -> Resource:
    """Return the kind that a person means. Raises: Misused."""
    kind = kinds.find(lambda catalog: catalog.called(word))
    if kind is None:
        raise Misused(f"there is no kind {word[:80]!r}: {_offered(kinds)}")
    return kind


def _offered(kinds: Kinds) -> str:
    return ", ".join("/".join((kind.plural, *kind.short_names)) for kind in kinds.catalog.resources)
