"""`cubectl auth whoami` and `cubectl auth can-i`: who the client is, and what it may do.

The server is asked; nothing is concluded here. As kubectl's, `can-i` ends with code 1 after `no`.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from typing import Any

from cubectl.output.printers import json_text, safe, table_text
from cubectl.session import Misused, Session
from cubectl.verb import Verb
from cubernetes.api.authentication.selfsubjectreview import SelfSubjectReview
from cubernetes.api.authorization.reviews import SelfSubjectAccessReview, SelfSubjectRulesReview
from cubernetes.api.meta import Object

WORDS_MAX = 3


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=("whoami", "can-i"))
    parser.add_argument("words", nargs="*", metavar="VERB RESOURCE [NAME]", help="of can-i")
    parser.add_argument("-o", "--output", choices=("json",), default="", help="of whoami")
    parser.add_argument("--subresource", default="", help="such as log or scale")
    parser.add_argument("-A", "--all-namespaces", action="store_true")
    parser.add_argument("--list", action="store_true", help="tell all that this client may")
    parser.add_argument("-q", "--quiet", action="store_true", help="answer by the exit code alone")


def run(options: Namespace, session: Session) -> None:
    if options.action == "whoami":
        if options.words:
            raise Misused("whoami takes no words")
        _who(options, session)
    elif options.list:
        _list(options, session)
    else:
        _can(options, session)


def _who(options: Namespace, session: Session) -> None:
    answer = _asked(session, SelfSubjectReview, {})
    if options.output == "json":
        session.out.write(json_text(answer))
        return
    user = answer.get("status", {}).get("userInfo", {})
    rows = [("Username", user.get("username", "")), ("UID", user.get("uid", ""))]
    rows.append(("Groups", _list_text(user.get("groups", ()))))
    extra = user.get("extra", {})
    rows += [(f"Extra: {key}", _list_text(extra[key])) for key in sorted(extra)]
    table = [["ATTRIBUTE", "VALUE"], *([safe(name), safe(text)] for name, text in rows if text)]
    session.out.write(table_text(table))


def _can(options: Namespace, session: Session) -> None:
    words: Sequence[str] = options.words
    if not 2 <= len(words) <= WORDS_MAX:
        raise Misused("write VERB RESOURCE [NAME], or VERB /PATH: cubectl auth can-i get pods")
    verb, what, *rest = words
    if what.startswith("/"):
        if rest or options.subresource:
            raise Misused("a path has no name and no subresource")
        spec: dict[str, Any] = {"nonResourceAttributes": {"path": what, "verb": verb}}
    else:
        spec = {"resourceAttributes": _attributes(options, session, verb, what, rest)}
    status = _asked(session, SelfSubjectAccessReview, {"spec": spec}).get("status", {})
    is_allowed = status.get("allowed") is True
    if not options.quiet:
        why = status.get("reason", "") or status.get("evaluationError", "")
        session.say("yes" if is_allowed else safe(f"no - {why}") if why else "no")
    session.exit_code = 0 if is_allowed else 1


def _attributes(
    options: Namespace, session: Session, verb: str, what: str, rest: Sequence[str]
) -> dict[str, str]:
    """Return what is asked about; a resource that the server does not know is asked as written."""
    word, _, name = what.partition("/")
    name = name or (rest[0] if rest else "")
    plural, _, group = word.partition(".")
    is_here = True
    if word != "*" and (kind := session.kinds.find(lambda known: known.called(word))) is not None:
        plural, group, is_here = kind.plural, kind.group, kind.namespaced
    namespace = session.namespace if is_here and not options.all_namespaces else ""
    part = options.subresource
    asked = {"verb": verb, "group": "*" if word == "*" else group, "resource": plural}
    more = {"namespace": namespace, "name": name, "subresource": part}
    return asked | {key: text for key, text in more.items() if text}


def _list(options: Namespace, session: Session) -> None:
    if options.words:
        raise Misused("--list takes no words")
    spec = {"spec": {"namespace": session.namespace}}
    status = _asked(session, SelfSubjectRulesReview, spec).get("status", {})
    heads = ["RESOURCES", "NON-RESOURCE URLS", "RESOURCE NAMES", "VERBS"]
    rules = (*status.get("resourceRules", ()), *status.get("nonResourceRules", ()))
    session.out.write(table_text([heads, *_rows(rules)]))


def _rows(rules: Sequence[dict[str, Any]]) -> Iterator[list[str]]:
    for rule in rules:
        urls, names = _list_text(rule.get("nonResourceURLs", ())), rule.get("resourceNames", ())
        verbs = _list_text(rule.get("verbs", ()))
        things = [
            f"{resource}.{group}" if group else resource
            for group in rule.get("apiGroups", ())
            for resource in rule.get("resources", ())
        ]
        for thing in things or [""]:
            yield [safe(thing), urls, _list_text(names), verbs]


def _list_text(words: Sequence[str]) -> str:
    return f"[{safe(' '.join(words))}]" if words else ""


def _asked(session: Session, kind: type[Object], body: dict[str, Any]) -> dict[str, Any]:
    resource = kind.resource
    tree = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
    return session.api.review(resource, tree)


VERB = Verb(configure, run)
