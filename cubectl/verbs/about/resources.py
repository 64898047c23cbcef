"""`cubectl api-resources` and `api-versions`: what there is."""

from argparse import ArgumentParser, Namespace

from cubectl.output.printers import safe, table_text
from cubectl.session import Session
from cubectl.verb import Verb
from cubernetes.api.resource import Resource

HEADS = ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]
WIDE_HEADS = ["VERBS", "CATEGORIES"]


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("--api-group", default=None, help="only those of a group; empty: core")
    parser.add_argument("--namespaced", choices=("true", "false"), default="")
    parser.add_argument("--verbs", default="", help="only those that can be asked all of these")
    parser.add_argument("--no-headers", action="store_true")
    parser.add_argument("-o", "--output", choices=("wide", "name"), default="")


def run(options: Namespace, session: Session) -> None:
    found = [kind for kind in session.kinds.catalog.resources if _is_asked_for(kind, options)]
    found.sort(key=lambda kind: (kind.group, kind.plural))
    if options.output == "name":
        for kind in found:
            session.say(f"{kind.plural}.{kind.group}" if kind.group else kind.plural)
        return
    is_wide = options.output == "wide"
    rows = [] if options.no_headers else [HEADS + (WIDE_HEADS if is_wide else [])]
    for kind in found:
        row = [kind.plural, ",".join(kind.short_names), kind.api_version]
        row += [str(kind.namespaced).lower(), kind.kind]
        row += [",".join(kind.verbs), ",".join(kind.categories)] if is_wide else []
        rows.append([safe(cell) for cell in row])
    session.out.write(table_text(rows, session.width))


def _is_asked_for(kind: Resource, options: Namespace) -> bool:
    is_of_group = options.api_group in (None, kind.group)
    is_of_scope = options.namespaced in ("", str(kind.namespaced).lower())
    verbs = {verb for verb in options.verbs.split(",") if verb}
    return is_of_group and is_of_scope and verbs <= set(kind.verbs)


def configure_nothing(parser: ArgumentParser) -> None:
    """Take no arguments but those that every verb takes."""


def run_versions(_: Namespace, session: Session) -> None:
    groups = session.api.raw("/apis").get("groups") or ()
    versions = list(session.api.raw("/api").get("versions") or ())
    versions += [one["groupVersion"] for group in groups for one in group.get("versions") or ()]
    for version in sorted(versions):
        session.say(safe(str(version)))


RESOURCES = Verb(configure, run)
VERSIONS = Verb(configure_nothing, run_versions)
