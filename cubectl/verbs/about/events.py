"""`cubectl events`: what happened, the newest last; of one object with --for."""

from argparse import ArgumentParser, Namespace

from cubectl.objects.targets import target_in
from cubectl.session import Misused, Session
from cubectl.verb import Verb
from cubectl.verbs import get


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("--for", dest="subject", default="", metavar="KIND/NAME")
    parser.add_argument("--types", default="", help="Normal or Warning")
    parser.add_argument("-A", "--all-namespaces", action="store_true")
    parser.add_argument("-w", "--watch", action="store_true", help="go on with every change")
    parser.add_argument("--no-headers", action="store_true")
    parser.add_argument("-o", "--output", choices=("wide", "yaml", "json", "name"), default="")


def run(options: Namespace, session: Session) -> None:
    fields = []
    if options.subject:
        target = target_in(options.subject, session.kinds)
        if not target.name:
            raise Misused("--for: must be KIND/NAME, such as pod/web-0")
        fields += [f"involvedObject.kind={target.kind.kind}", f"involvedObject.name={target.name}"]
    if options.types:
        if options.types not in ("Normal", "Warning"):
            raise Misused("--types: must be Normal or Warning")
        fields.append(f"type={options.types}")
    order = "" if options.watch else ".lastTimestamp"
    said = {**vars(options), "words": ["events"], "field_selector": ",".join(fields)}
    get.run(get.asked(**said, sort_by=order), session)


VERB = Verb(configure, run)
