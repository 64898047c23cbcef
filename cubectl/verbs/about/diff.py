"""`cubectl diff`: what `cubectl apply` would change, by what the server says that would be."""

import difflib
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from cubectl.objects.judging import problems_of
from cubectl.objects.manifests import Manifest, manifests_in
from cubectl.output.printers import name_of, safe, yaml_text
from cubectl.session import Session
from cubectl.verb import VALIDATIONS, Verb, add_files, add_validation
from cubectl.verbs.apply import carried_out, step_of
from cubernetes.api.errors import ApiError
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.patches import threeway

# As kubectl: 0 nothing differs, 1 something does, more than that something went wrong.
DIFFERENT, FAILED = 1, 2


def configure(parser: ArgumentParser) -> None:
    add_files(parser)
    add_validation(parser)


def run(options: Namespace, session: Session) -> None:
    validation = VALIDATIONS[options.validate]
    manifests = manifests_in(
        options.filename,
        session.kinds,
        session.namespace,
        is_namespace_chosen=bool(session.choice.namespace),
        judge=lambda manifest: problems_of(manifest, validation),
    )
    for manifest in manifests:
        tree = threeway.wanted_of(manifest.tree, has_status=manifest.kind.has_status)
        whole = manifest._replace(tree=tree)
        try:
            step = step_of(whole, session)
            after = carried_out(step, session, validation, is_dry=True)
        except ApiError as error:
            session.tell(safe(f"{manifest.where}: {error.message}"))
            session.exit_code = FAILED
            continue
        if after is not None and (text := "".join(lines_of(whole, step.live, after))):
            session.out.write(text)
            session.exit_code = max(session.exit_code, DIFFERENT)


def lines_of(manifest: Manifest, before: Tree | None, after: Tree) -> Iterator[str]:
    """Yield a unified diff of an object's YAML, without what the server alone writes. Pure."""
    title = name_of(manifest.kind, manifest.name)
    was = _text(before) if before is not None else ""
    yield from difflib.unified_diff(
        was.splitlines(keepends=True),
        _text(after).splitlines(keepends=True),
        f"LIVE/{title}",
        f"MERGED/{title}",
    )


def _text(tree: Tree) -> str:
    hidden = {"managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"}
    metadata = {key: one for key, one in tree["metadata"].items() if key not in hidden}
    notes = dict(metadata.get("annotations") or {})
    notes.pop(threeway.LAST_APPLIED, None)
    metadata.pop("annotations", None)
    if notes:
        metadata["annotations"] = notes
    shown = {key: one for key, one in tree.items() if key != "status"}
    return yaml_text({**shown, "metadata": metadata})


VERB = Verb(configure, run)
