"""Changes of the containers of a workload or a pod: images, variables, resources. Pure."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from cubectl.session import Failed
from cubernetes.api.notation.jsontext import Tree

ALL = "*"

type Changed = Callable[[Tree], Tree]


def with_containers(tree: Tree, names: Collection[str], changed: Changed) -> Tree:
    """Return an object whose containers of these names (`*`: all of them) are changed.

    Raises: Failed: there is no such container, or it has none at all.
    """
    spec = tree.get("spec") or {}
    if "jobTemplate" in spec:
        inner = with_containers(spec["jobTemplate"], names, changed)
        return {**tree, "spec": {**spec, "jobTemplate": inner}}
    if "template" in spec:
        return {
            **tree,
            "spec": {**spec, "template": with_containers(spec["template"], names, changed)},
        }
    containers: Sequence[Tree] = spec.get("containers") or ()
    there = {one["name"] for one in containers}
    for name in sorted(names):
        if name not in there and not (name == ALL and there):
            raise Failed(f'unable to find container named "{name}"')
    new: list[Any] = [
        changed(one) if one["name"] in names or ALL in names else one for one in containers
    ]
    return {**tree, "spec": {**spec, "containers": new}}


def containers_in(tree: Tree) -> Sequence[Tree]:
    """Return the containers of a workload or a pod. Raises: Failed: it has none."""
    found: list[Tree] = []

    def noted(one: Tree) -> Tree:
        found.append(one)
        return one

    with_containers(tree, [ALL], noted)
    return found


def with_images(tree: Tree, images: Mapping[str, str]) -> Tree:
    """Return an object with other images, by the container's name or `*` for all."""

    def changed(one: Tree) -> Tree:
        return {**one, "image": images[one["name"] if one["name"] in images else ALL]}

    return with_containers(tree, images.keys(), changed)


def with_variables(tree: Tree, name: str, variables: Mapping[str, str | Tree | None]) -> Tree:
    """Return an object whose containers have other variables; None takes one away.

    One that is no text is where its text comes from: a key of a ConfigMap or Secret.
    """
    told = {key: _variable(key, text) for key, text in variables.items() if text is not None}

    def changed(one: Tree) -> Tree:
        before = one.get("env") or []
        known = {each["name"] for each in before}
        kept = [
            told.get(each["name"], each)
            for each in before
            if each["name"] not in variables or each["name"] in told
        ]
        added = [each for key, each in told.items() if key not in known]
        return {**one, "env": [*kept, *added]} if kept or added or before else one

    return with_containers(tree, [name], changed)


def _variable(name: str, text: str | Tree) -> Tree:
    return {"name": name, "value" if isinstance(text, str) else "valueFrom": text}


def with_resources(
    tree: Tree, name: str, limits: Mapping[str, str], requests: Mapping[str, str]
) -> Tree:
    """Return an object whose containers have other limits and requests; the others stay."""

    def changed(one: Tree) -> Tree:
        before = one.get("resources") or {}
        parts = {"limits": limits, "requests": requests}
        after = {part: {**(before.get(part) or {}), **told} for part, told in parts.items()}
        return {**one, "resources": {part: told for part, told in after.items() if told}}

    return with_containers(tree, [name], changed)
