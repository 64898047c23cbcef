"""A lab node loses its power in the midst of its work: what was acknowledged is there after."""

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from lab.host.node import Node
from lab.lab import Lab
from tests.e2e.conftest import finished

pytestmark = [pytest.mark.lab]

PORT = 9090
FOLDER = "/var/lib/tsdb"
COUNT = 40


def run(node: Node, script: str) -> str:
    return finished(node.run(["sh", "-c", script], check=True, deadline_s=120)).stdout


def start(node: Node) -> None:
    """Start the store on the node and wait until it answers."""
    settings = json.dumps({"data_dir": FOLDER, "port": PORT})
    run(
        node,
        f"echo '{settings}' > /root/tsdb.json; "
        f"setsid {sys.executable} -m tsdb --settings /root/tsdb.json "
        "> /root/tsdb.log 2>&1 < /dev/null & "
        f"timeout 100 sh -c 'until curl -sf localhost:{PORT}/-/ready; do sleep 0.1; done'",
    )


def test_a_store_on_a_node_whose_power_is_cut_keeps_all_that_it_acknowledged(
    boot_lab: Callable[[str, int], AbstractContextManager[Lab]],
) -> None:
    with boot_lab("tsd", 1) as lab:
        node = lab.node("n1")
        start(node)
        # Each line is written down only after its answer; the last may be under way at the cut.
        pushed = run(
            node,
            f'for n in $(seq {COUNT}); do echo "acked{{n=\\"$n\\"}} $n" | '
            f"curl -sf --data-binary @- localhost:{PORT}/api/v1/import/prometheus && echo $n; done",
        ).split()
        assert len(pushed) == COUNT
        finished(lab.power("n1", "cut"))
        finished(lab.power("n1", "on"))

        node = lab.node("n1")
        start(node)
        query = "query=last_over_time(acked[1h])"
        told = json.loads(run(node, f"curl -sfg 'localhost:{PORT}/api/v1/query?{query}'"))
        found = {one["metric"]["n"]: float(one["value"][1]) for one in told["data"]["result"]}
        assert found == {n: float(n) for n in pushed}
