"""Manifests of the platform before this one: an Action and its Ingress as Function and Route. Pure.

Their scripts run as they are: the package `serverless` has the names that they import.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from cubernetes.api.notation.jsontext import Tree

VERSION = "serverless.cubernetes.io/v1"
SCRIPT_FILE = "action.py"
IDENTITY = ("name", "namespace", "labels", "annotations")


class Translated(NamedTuple):
    """A manifest of ours, and a sentence on what it was."""

    tree: Tree
    told: str


def translated(tree: Mapping[str, Any]) -> Translated | None:
    """Return what a document means here; None: it is none of the forerunner's.

    The code of an Action stands in a file of its own there: see `with_script`.
    """
    version, kind, spec = (tree.get(name) for name in ("apiVersion", "kind", "spec"))
    if not isinstance(version, str) or "." in version.partition("/")[0]:
        return None  # a group of today
    if kind == "Action":
        spec = spec if isinstance(spec, Mapping) else {}
        made: Tree = {"calls": list(spec.get("invokeActions") or ())}
        return Translated(_tree(tree, "Function", made), "an Action is applied as a Function")
    if kind == "Ingress" and isinstance(spec, Mapping) and "invokeAction" in spec:
        made = {"path": spec.get("trigger"), "function": spec["invokeAction"]}
        made |= {"methods": [str(spec["httpType"]).upper()]} if spec.get("httpType") else {}
        told = "an Ingress with invokeAction is applied as a Route"
        return Translated(_tree(tree, "Route", made), told)
    return None


def with_script(tree: Tree, script: str) -> Tree:
    """Return an Action's Function with its code."""
    return {**tree, "spec": {**tree["spec"], "files": {SCRIPT_FILE: script}}}


def _tree(tree: Mapping[str, Any], kind: str, spec: Tree) -> Tree:
    named = tree.get("metadata")
    # The uid was the server's to choose there, too.
    kept = {one: named[one] for one in IDENTITY if one in named} if isinstance(named, dict) else {}
    return {"apiVersion": VERSION, "kind": kind, "metadata": kept, "spec": spec}
