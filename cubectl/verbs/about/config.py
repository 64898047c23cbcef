"""`cubectl config`: what the kubeconfig says, and which of its contexts is used."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cubectl.connection.kubeconfig import files_of
from cubectl.output.printers import json_text, table_text, yaml_text
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb
from cubernetes.host.durable.files import write_atomic

ACTIONS = (
    "view", "current-context", "get-contexts", "use-context", "set-context",
    "get-clusters", "get-users",
)  # fmt: skip
PARTS = ("clusters", "contexts", "users")
# What nobody should read over a shoulder.
HIDDEN: Mapping[str, str] = {
    "certificate-authority-data": "DATA+OMITTED",
    "client-certificate-data": "DATA+OMITTED",
    "client-key-data": "DATA+OMITTED",
    "token": "REDACTED",
    "password": "REDACTED",
}

type Config = dict[str, Any]


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("words", nargs="*", metavar="NAME")
    parser.add_argument("-o", "--output", choices=("yaml", "json", "name"), default="yaml")
    parser.add_argument("--minify", action="store_true", help="view: what is used alone")
    parser.add_argument("--raw", action="store_true", help="view: secrets too")
    parser.add_argument("--current", action="store_true", help="set-context: the one in use")
    parser.add_argument("--cluster", default="", help="set-context: its cluster")
    parser.add_argument("--user", default="", help="set-context: its user")
    parser.add_argument("--no-headers", action="store_true", help="get-contexts: rows alone")


def run(options: Namespace, session: Session) -> None:
    files = files_of(session.environment, session.choice.kubeconfig)
    whole = merged([tree for _, tree in files])
    whole["current-context"] = session.choice.context or whole["current-context"]
    match options.action, options.words:
        case "use-context", [name]:
            _entry(whole, name)
            _write(files[0][0], {**files[0][1], "current-context": name})
            session.say(f'Switched to context "{name}".')
        case "set-context", names if len(names) == (0 if options.current else 1):
            name = names[0] if names else whole["current-context"]
            session.say(_set_context(files, name, options, session))
        case (("use-context" | "set-context"), _):
            raise Misused("name one context: see cubectl config --help")
        case _:
            session.out.write(_told(whole, options, session))


def _told(whole: Config, options: Namespace, session: Session) -> str:
    match options.action, options.words:
        case "view", []:
            shown = _shown(whole, options, session)
            return json_text(shown) if options.output == "json" else yaml_text(shown)
        case "current-context", []:
            if not whole["current-context"]:
                raise Failed("current-context is not set")
            return f"{whole['current-context']}\n"
        case "get-contexts", names:
            return _contexts(whole, names, options)
        case ("get-clusters" | "get-users") as action, []:
            names = [one["name"] for one in whole[action.removeprefix("get-")]]
            return "".join(f"{name}\n" for name in ("NAME", *names))
        case _:
            raise Misused("too many names: see cubectl config --help")


def merged(trees: list[Config]) -> Config:
    """Return one config for several: of what stands in two the first counts. Pure."""
    found: Config = {"apiVersion": "v1", "kind": "Config", "current-context": ""}
    for tree in trees:
        found["current-context"] = found["current-context"] or tree.get("current-context") or ""
    for part in PARTS:
        entries: dict[str, Any] = {}
        for tree in trees:
            for one in tree.get(part) or []:
                entries.setdefault(str(one.get("name", "")), one)
        found[part] = list(entries.values())
    return found


def _shown(whole: Config, options: Namespace, session: Session) -> Config:
    if options.minify:
        context = _entry(whole, whole["current-context"])["context"]
        kept = {
            "contexts": whole["current-context"],
            "clusters": context.get("cluster"),
            "users": context.get("user"),
        }
        parts = {part: [one for one in whole[part] if one["name"] == kept[part]] for part in PARTS}
        whole = {**whole, **parts}
    if options.raw:
        session.tell("what follows holds secrets")
        return whole
    hidden = {
        part: [
            {
                key: {inner: HIDDEN.get(inner, text) for inner, text in value.items()}
                if isinstance(value, dict)
                else value
                for key, value in one.items()
            }
            for one in whole[part]
        ]
        for part in PARTS
    }
    return {**whole, **hidden}


def _contexts(whole: Config, names: list[str], options: Namespace) -> str:
    for name in names:
        _entry(whole, name)
    chosen = [one for one in whole["contexts"] if not names or one["name"] in names]
    if options.output == "name":
        return "".join(f"{one['name']}\n" for one in chosen)
    rows = [
        [
            "*" if one["name"] == whole["current-context"] else "",
            one["name"],
            *(str(one["context"].get(part) or "") for part in ("cluster", "user", "namespace")),
        ]
        for one in sorted(chosen, key=lambda one: str(one["name"]))
    ]
    head = ["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]
    return table_text(rows if options.no_headers else [head, *rows])


def _entry(whole: Config, name: str) -> Config:
    """Return a context. Raises: Failed."""
    for one in whole["contexts"]:
        if one["name"] == name and isinstance(one.get("context"), dict):
            return dict(one)
    raise Failed(f'no context exists with the name: "{name}"')


def _set_context(
    files: list[tuple[str, Config]], name: str, options: Namespace, session: Session
) -> str:
    wanted = {
        "cluster": options.cluster,
        "user": options.user,
        "namespace": session.choice.namespace,
    }
    change = {key: text for key, text in wanted.items() if text}
    # A context is changed in the file that it is in; a new one is added to the first.
    for path, tree in files:
        for index, one in enumerate(tree.get("contexts") or []):
            if one.get("name") == name:
                entries = list(tree["contexts"])
                entries[index] = {**one, "context": {**(one.get("context") or {}), **change}}
                _write(path, {**tree, "contexts": entries})
                return f'Context "{name}" modified.'
    if options.current:
        raise Failed("no current context is set")
    path, tree = files[0]
    entries = [*(tree.get("contexts") or []), {"name": name, "context": change}]
    _write(path, {**tree, "contexts": entries})
    return f'Context "{name}" created.'


def _write(path: str, tree: Config) -> None:
    """Put a file in the place of another, with its mode; a process that dies leaves the old one.

    Raises: Failed.
    """
    try:
        place = Path(os.path.realpath(path))
        write_atomic(place, yaml_text(tree).encode(), place.stat().st_mode & 0o777)
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}") from error


VERB = Verb(configure, run)
