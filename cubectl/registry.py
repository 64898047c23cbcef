"""Every verb there is, in the order in which `cubectl --help` tells them.

A verb is loaded when it is asked for: each needs libraries that the others do not.
"""

from importlib import import_module
from typing import NamedTuple, cast

from cubectl.verb import Verb


class Entry(NamedTuple):
    """A verb's name and summary, its module among cubectl.verbs, and its name there."""

    name: str
    summary: str
    module: str
    called: str = "VERB"

    def loaded(self) -> Verb:
        return cast(Verb, getattr(import_module(f"cubectl.verbs.{self.module}"), self.called))


VERBS: tuple[Entry, ...] = (
    Entry("get", "show objects", "get"),
    Entry("describe", "tell everything about objects", "describe"),
    Entry("apply", "make the cluster hold what files say", "apply"),
    Entry("create", "make new objects from files", "create"),
    Entry("delete", "delete objects", "delete"),
    Entry("logs", "print what a container has said", "logs"),
    Entry("scale", "change how many replicas there are", "scale"),
    Entry("wait", "return when objects are as asked", "wait"),
    Entry("label", "set labels", "label", "LABEL"),
    Entry("annotate", "set annotations", "label", "ANNOTATE"),
    Entry("version", "tell the versions of client and server", "version"),
)
