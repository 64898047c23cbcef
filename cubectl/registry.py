"""Every verb there is, in the order in which `cubectl --help` tells them."""

from cubectl.verb import Verb
from cubectl.verbs import apply, create, delete, describe, get, label, logs, scale, version, wait

VERBS: tuple[Verb, ...] = (
    get.VERB,
    describe.VERB,
    apply.VERB,
    create.VERB,
    delete.VERB,
    logs.VERB,
    scale.VERB,
    wait.VERB,
    label.LABEL,
    label.ANNOTATE,
    version.VERB,
)
