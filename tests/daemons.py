"""DaemonSets that tests begin with: as those of tests/given.py, whole and valid."""

from collections.abc import Mapping, Sequence

from cubernetes.api.apps.daemonset import DaemonSet, DaemonSetSpec
from cubernetes.api.core.podspec.toleration import Toleration
from cubernetes.api.meta import replaced
from cubernetes.api.selectors import LabelSelector
from tests.given import WEB, a_container, a_meta, a_template


def a_daemonset(
    name: str = "web",
    namespace: str = "default",
    *,
    image: str = "cubernetes/web:1",
    node_selector: Mapping[str, str] | None = None,
    tolerations: Sequence[Toleration] = (),
    **spec: object,
) -> DaemonSet:
    """Return a DaemonSet; spec: further fields of its spec, as Python calls them."""
    template = a_template(containers=(a_container(image=image),))
    of_pods = replaced(
        template.spec, node_selector=dict(node_selector or {}), tolerations=tuple(tolerations)
    )
    wanted = DaemonSetSpec(
        selector=LabelSelector(match_labels=WEB), template=replaced(template, spec=of_pods)
    )
    meta = a_meta(name, namespace, generation=1)
    return DaemonSet(metadata=meta, spec=replaced(wanted, **spec)).defaulted()
