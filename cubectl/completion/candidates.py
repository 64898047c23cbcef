"""What may stand where somebody types: verbs, flags, kinds, and the names of objects."""

from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from cubectl.objects.targets import PODS
from cubernetes.api.resource import Resource

NODES = Resource("", "v1", "Node", "nodes", namespaced=False)
NAMESPACES = Resource("", "v1", "Namespace", "namespaces", namespaced=False)
OF_PODS = ("attach", "cp", "exec", "logs", "port-forward")
OF_NODES = ("cordon", "drain", "uncordon")
OF_KINDS = (
    "annotate", "autoscale", "delete", "describe", "edit", "expose", "get", "label", "patch",
    "rollout", "scale", "set", "taint", "wait",
)  # fmt: skip
# Kinds alone stand behind these.
OF_KIND_WORDS = ("create", "explain")
FORMS = ("wide", "yaml", "json", "name", "jsonpath=", "custom-columns=")

# Returns the names of objects of a kind, in a namespace; an empty one is the session's.
type Names = Callable[[Resource, str], Sequence[str]]


class Line(NamedTuple):
    """A command line as far as it was typed: its verb, what stands behind it, and the last word.

    positionals: the words that are no flags. before: the word before the last one.
    """

    verb: str
    positionals: tuple[str, ...]
    before: str
    last: str
    namespace: str = ""


class Known(NamedTuple):
    """verbs: each with its parser, which is made when it is asked for. kinds: all there are."""

    verbs: Mapping[str, Callable[[], ArgumentParser]]
    kinds: Callable[[], Sequence[Resource]]
    names: Names


def line_of(words: Sequence[str]) -> Line:
    """Return what was typed behind `cubectl`; the last word is not complete, and may be empty."""
    *typed, last = words or ("",)
    verb, positionals, namespace = "", list[str](), ""
    is_value = False
    for at, word in enumerate(typed):
        if is_value:
            is_value = False
        elif word in ("-n", "--namespace"):
            namespace, is_value = typed[at + 1] if at + 1 < len(typed) else "", True
        elif word.startswith("--namespace="):
            namespace = word.partition("=")[2]
        elif word.startswith("-"):
            continue
        elif not verb:
            verb = word
        else:
            positionals.append(word)
    return Line(verb, tuple(positionals), typed[-1] if typed else "", last, namespace)


def candidates(line: Line, known: Known) -> list[str]:
    """Return what the last word may become, sorted."""
    return sorted({one for one in _offered(line, known) if one.startswith(line.last)})


def _offered(line: Line, known: Known) -> Iterator[str]:
    if line.before in ("-n", "--namespace"):
        yield from known.names(NAMESPACES, "")
    elif line.before in ("-o", "--output"):
        yield from FORMS
    elif not line.verb:
        yield from known.verbs
    elif line.verb in known.verbs:
        yield from _behind(line, known)


def _behind(line: Line, known: Known) -> Iterator[str]:
    """Yield what may stand behind a verb."""
    parser = known.verbs[line.verb]()
    # argparse tells its actions nowhere else.
    actions = parser._actions
    if line.last.startswith("-"):
        yield from (flag for action in actions for flag in action.option_strings)
        return
    listed = (one.choices for one in actions if one.choices and not one.option_strings)
    chosen = next(listed, None)
    if chosen is not None and not line.positionals:
        yield from map(str, chosen)
        return
    named = line.positionals if chosen is None else line.positionals[1:]
    yield from _named(line, named, known)


def _named(line: Line, positionals: Sequence[str], known: Known) -> Iterator[str]:
    """Yield kinds and objects, where the verb is about such."""
    if line.verb in OF_KINDS:
        yield from _objects(line, positionals, known)
    elif positionals:
        return
    elif line.verb in OF_PODS:
        yield from known.names(PODS, line.namespace)
    elif line.verb in OF_NODES:
        yield from known.names(NODES, "")
    elif line.verb in OF_KIND_WORDS:
        yield from _kind_words(known)


def _objects(line: Line, positionals: Sequence[str], known: Known) -> Iterator[str]:
    word, slash, _ = line.last.partition("/")
    if slash:
        kind = _kind(word, known)
        if kind is not None:
            yield from (f"{word}/{name}" for name in known.names(kind, line.namespace))
    elif not positionals:
        yield from _kind_words(known)
    elif "/" not in positionals[0]:
        kind = _kind(positionals[0], known)
        if kind is not None:
            taken = set(positionals[1:])
            yield from (one for one in known.names(kind, line.namespace) if one not in taken)


def _kind_words(known: Known) -> Iterator[str]:
    for kind in known.kinds():
        yield from (kind.plural, *kind.short_names)


def _kind(word: str, known: Known) -> Resource | None:
    for kind in known.kinds():
        singular = kind.kind.lower()
        full = f"{kind.plural}.{kind.group}"
        if word.lower() in (kind.plural, singular, full, *kind.short_names):
            return kind
    return None
