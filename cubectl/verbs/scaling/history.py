"""`cubectl autoscale history` and `replay`, `cubectl why hpa/NAME`: what was, why, and what if."""

import itertools
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from cubectl.objects.targets import Target, target_in
from cubectl.output.printers import safe
from cubectl.session import Failed, Misused, Session
from cubectl.verb import span_s
from cubectl.verbs.scaling.picture import drawn, sparks
from cubectl.verbs.scaling.sentences import asked, told, why
from cubernetes.api.autoscaling.history import AutoscalerHistory, Entry
from cubernetes.api.autoscaling.horizontalpodautoscaler import HorizontalPodAutoscaler
from cubernetes.api.coding import codec
from cubernetes.api.cubernetes.autoscaler import AutoScaler
from cubernetes.api.errors import ApiError
from cubernetes.api.notation import yaml
from cubernetes.autoscaling.policies import plan_for
from cubernetes.autoscaling.replay import Moment, replayed

WHY_S = 120
SENTENCES_MAX = 200
POLICY_BYTES_MAX = 1024 * 1024


def tell(options: Namespace, session: Session) -> None:
    """Tell the changes and refusals of an autoscaler, below a picture of them."""
    target, entries = _asked(options, session)
    lines = [f"{target.kind.kind} {target.name}: replicas"]
    lines += drawn([one.at for one in entries], [one.wanted for one in entries])
    sentences = list(told(entries))
    if len(sentences) > SENTENCES_MAX:
        lines.append(f"({len(sentences) - SENTENCES_MAX} earlier ones are left out)")
    _written(session, [*lines, *sentences[-SENTENCES_MAX:]])


def replay(options: Namespace, session: Session) -> None:
    """Tell what another policy would have done with the load that is on record."""
    if not options.policy:
        raise Misused("--policy: name the file of an autoscaler: --policy new.yaml")
    scaler = _scaler_in(options.policy)
    _, entries = _asked(options, session)
    plan = plan_for(scaler)
    unknown = sorted(plan.wishes.keys() - {m.metric for one in entries for m in one.measured})
    if unknown:
        raise Failed(f"--policy: nothing is on record of {', '.join(unknown)}")
    moments = replayed(entries, plan)
    times = [one.at for one in entries]
    recorded = [one.wanted for one in entries]
    other = [one.replicas for one in moments]
    now = [_ratio(one) for one in entries]
    lines = ["recorded: replicas", *drawn(times, recorded), f"{'load':>5}  {sparks(times, now)}"]
    lines += [f"with {options.policy}: replicas", *drawn(times, other)]
    lines.append(f"{'load':>5}  {sparks(times, [one.ratio for one in moments])}")
    lines += [_sum("recorded", times, recorded), _sum("replayed", times, other)]
    _written(session, [*lines, *_changes(moments)])


def explain(word: str, session: Session) -> None:
    """Tell why an autoscaler wants as many replicas as it does."""
    target = target_in(word, session.kinds)
    entries = _entries(session, target, WHY_S)
    if not entries:
        raise Failed(
            f"nothing is on record of {word}: is the store enabled (cuberoot enable tsdb)?"
        )
    last = entries[-1]
    verb = "wants" if last.wanted != last.replicas else "keeps"
    lines = [f"{target.kind.kind} {target.name} {verb} {last.wanted}: {why(last)}"]
    lines.append(f"  between {last.minimum} and {last.maximum}; looked at {last.at:%H:%M:%S}")
    _written(session, [*lines, *(f"  {asked(one)}" for one in last.measured)])


def _asked(options: Namespace, session: Session) -> tuple[Target, Sequence[Entry]]:
    words = options.words[1:]
    if len(words) != 1:
        raise Misused(f"name one autoscaler: cubectl autoscale {options.words[0]} hpa/web")
    word = words[0] if "/" in words[0] else f"hpa/{words[0]}"
    target = target_in(word, session.kinds)
    entries = _entries(session, target, max(1, round(span_s(options.since))))
    if not entries:
        raise Failed(f"nothing is on record of {word} in the last {options.since}")
    return target, entries


def _entries(session: Session, target: Target, since_s: int) -> Sequence[Entry]:
    kind, name = target
    if "history" not in kind.subresources:
        raise Misused(f"{kind.plural} have no history")
    place = f"{kind.root}/namespaces/{session.namespace}/{kind.plural}/{name}"
    try:
        tree = session.api.raw(f"{place}/history?sinceSeconds={since_s}")
    except ApiError as error:
        raise Failed(str(error)) from error
    return codec.model_from_tree(AutoscalerHistory, tree, "AutoscalerHistory").entries


def _scaler_in(path: str) -> HorizontalPodAutoscaler | AutoScaler:
    try:
        body = Path(path).read_bytes()[:POLICY_BYTES_MAX]
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}") from error
    for one in yaml.documents(body):
        for kind in (HorizontalPodAutoscaler, AutoScaler):
            if one.tree.get("kind") == kind.resource.kind:
                found = codec.from_tree(kind, one.tree).model.defaulted()
                if problems := list(found.problems()):
                    raise Failed(f"{path}: {problems[0].field}: {problems[0].message}")
                return cast(HorizontalPodAutoscaler | AutoScaler, found)
    raise Failed(f"{path}: must hold a HorizontalPodAutoscaler (autoscaling/v2) or AutoScaler")


def _ratio(entry: Entry) -> float | None:
    """Return what the first metric was beside its goal."""
    for one in entry.measured:
        if one.proposed is None or not one.ready or not one.target:
            continue
        part = one.used / one.ready
        if one.is_share:
            part = 100 * part / one.requested if one.requested else 0.0
        return part / one.target
    return None


def _sum(name: str, times: Sequence[object], counts: Sequence[int]) -> str:
    changes = sum(one != other for one, other in itertools.pairwise(counts))
    mean = sum(counts) / len(counts)
    return (
        f"{name}: {changes} changes, at most {max(counts)}, {mean:.1f} on average of {len(times)}"
    )


def _changes(moments: Sequence[Moment]) -> Iterator[str]:
    for last, one in itertools.pairwise(moments):
        if one.replicas != last.replicas:
            yield f"{one.at:%m-%d %H:%M:%S}  {last.replicas} -> {one.replicas}"


def _written(session: Session, lines: Sequence[str]) -> None:
    session.out.write("".join(f"{safe(line)}\n" for line in lines))
