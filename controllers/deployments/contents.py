"""Restarts on change: pods are exchanged when what they read of ConfigMaps and Secrets changes.

A Deployment asks for it by the annotation `cubernetes.io/restart-on-change: "true"`. What its
template reads is noted on it as a digest (`cubernetes.io/read-content`), first without a restart.
Once the digest is another one, it is noted again and written into the template, in one update: the
Deployment rolls out as for any other change. Keys that no pod reads do not count.

**Which change it is.** The digest has two parts: what is read, and what stands there. Where the
template reads something else, a rollout is under way already, and only the note is taken.

**Absence.** While an object that must be there is absent nothing is decided: pods could not start.

**Secrets.** A reader of the Deployment sees the digest, and could try words against it. So the
values of a Secret are digested with its uid, which only readers of the Secret see. A Secret that
was deleted and created again therefore counts as changed.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.apps.revisions import READ_CONTENT
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.podspec.references import Named, named_by, read_by
from cubernetes.api.core.secret import Secret
from cubernetes.api.meta import Object, Ref, replaced
from cubernetes.client.cache import revision_of
from cubernetes.reconcile.plan import Action, Patch, Record, RequeueAfter, Update, View

RESTART_ON_CHANGE = "cubernetes.io/restart-on-change"
VIEW_PAUSE_S = 1.0  # until a view that lags is looked at again
DIGEST_CHARS = 16

type Source = ConfigMap | Secret
SOURCES: Mapping[str, type[Source]] = {"ConfigMap": ConfigMap, "Secret": Secret}


class ContentRestarts:
    """Plans by Deployment, and remembers nothing."""

    name = "restart-on-change"
    kinds: tuple[type[Object], ...] = (Deployment, *SOURCES.values())

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        """A ConfigMap or a Secret concerns the Deployments that ask for it and name the object."""
        if isinstance(changed, Deployment):
            return (changed.ref,)
        named = Named(type(changed).resource.kind, changed.metadata.name)
        return [
            one.ref
            for one in view.list(Deployment, changed.metadata.namespace)
            if is_asked(one) and named in named_by(one.spec.template.spec)
        ]

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:  # noqa: ARG002
        wanted = view.get(Deployment, key.name, key.namespace)
        if wanted is None or wanted.metadata.is_deleted:
            return
        before = wanted.metadata.annotations.get(READ_CONTENT)
        if not is_asked(wanted):
            if before is not None:
                yield _noted(wanted, None)
            return
        if min(view.revision(kind) for kind in SOURCES.values()) < revision_of(wanted):
            # An older view may hold the content that was there before the last restart.
            yield RequeueAfter(VIEW_PAUSE_S)
            return
        now_read = digest_of(wanted, view)
        if now_read is None or now_read == before:
            return
        if before is None or _reads(before) != _reads(now_read):
            yield _noted(wanted, now_read)
            return
        yield Update(_restarted(wanted, now_read))
        message = f'Restarting deployment "{key.name}": what its pods read has changed'
        yield Record(wanted, "RestartedOnChange", message)


def is_asked(one: Deployment) -> bool:
    return one.metadata.annotations.get(RESTART_ON_CHANGE) == "true"


def digest_of(wanted: Deployment, view: View) -> str | None:
    """Return `READS.CONTENT`, each a digest; None while an object that must be there is absent."""
    reads = sorted(read_by(wanted.spec.template.spec), key=lambda one: (one.named, one.key or ""))
    content: list[str] = []
    for read in reads:
        kind, name = read.named
        found = view.get(SOURCES[kind], name, wanted.metadata.namespace)
        if found is None and not read.is_optional:
            return None
        content.append(_digested(found, read.key) if found is not None else "")
    return f"{_short([(*one.named, one.key) for one in reads])}.{_short(content)}"


def _digested(found: Source, key: str | None) -> str:
    """Return the digest of a key of an object, or of all its keys."""
    values, salt = {"data": found.data}, ""
    if isinstance(found, ConfigMap):
        values["binaryData"] = found.binary_data
    else:
        salt = found.metadata.uid
    kept = [
        (part, each, value)
        for part, of_part in values.items()
        for each, value in sorted(of_part.items())
        if key in (None, each)
    ]
    return hmac.new(salt.encode(), _canonical(kept), hashlib.sha256).hexdigest()


def _short(parts: object) -> str:
    return hashlib.sha256(_canonical(parts)).hexdigest()[:DIGEST_CHARS]


def _canonical(parts: object) -> bytes:
    return json.dumps(parts).encode()


def _reads(digest: str) -> str:
    return digest.partition(".")[0]


def _noted(wanted: Deployment, digest: str | None) -> Patch:
    metadata = {
        "resourceVersion": wanted.metadata.resource_version,
        "annotations": {READ_CONTENT: digest},
    }
    return Patch(Deployment, wanted.ref, wanted.metadata.uid, {"metadata": metadata})


def _restarted(wanted: Deployment, digest: str) -> Deployment:
    annotations = {**wanted.metadata.annotations, READ_CONTENT: digest}
    metadata = replaced(wanted.metadata, annotations=annotations)
    template = wanted.spec.template
    within = replaced(
        template.metadata, annotations={**template.metadata.annotations, READ_CONTENT: digest}
    )
    spec = replaced(wanted.spec, template=replaced(template, metadata=within))
    return replaced(wanted, metadata=metadata, spec=spec)
