"""Leases: what Kubernetes takes is taken, what it refuses is refused."""

import pytest

from cubernetes.api.coding import codec
from cubernetes.api.coordination.lease import Lease


def problems(spec: str) -> list[str]:
    text = f'{{"metadata":{{"name":"a","namespace":"default"}},"spec":{spec}}}'
    lease = codec.decode(Lease, text.encode()).defaulted()
    return [f"{one.field} {one.message}" for one in lease.problems()]


@pytest.mark.parametrize(
    "spec", ["{}", '{"holderIdentity":"a"}', '{"holderIdentity":"a","leaseDurationSeconds":1}']
)
def test_a_holder_need_not_say_for_how_long(spec: str) -> None:
    assert problems(spec) == []


@pytest.mark.parametrize("holder", ["", '"holderIdentity":"a",'])
def test_no_lease_lasts_for_nothing(holder: str) -> None:
    said = problems(f'{{{holder}"leaseDurationSeconds":0}}')
    assert said == ["spec.leaseDurationSeconds must be greater than 0"]
