"""Image locality: a node that has a pod's images begins it sooner. As kube-scheduler, by bytes.

kube-scheduler counts an image less that few nodes have, so that its pods do not crowd there; here
the allocation scores beside it see to that.
"""

from cubernetes.scheduling.nodeinfo import NodeInfo, PodRequests
from cubernetes.scheduling.plugin import SCORE_MAX, Score

MEBI = 1 << 20
# Less is fetched at once and counts as nothing; more than that of each container is the best.
BYTES_MIN, BYTES_MAX = 23 * MEBI, 1000 * MEBI


def image_locality(requests: PodRequests, node: NodeInfo) -> int:
    if not requests.images or not node.facts.images:
        return 0
    sizes = dict(node.facts.images)
    found = sum(sizes.get(name, 0) for name in requests.images)
    most = BYTES_MAX * len(requests.images)
    within = min(max(found, BYTES_MIN), most)
    return SCORE_MAX * (within - BYTES_MIN) // (most - BYTES_MIN)


IMAGES = Score(image_locality)
