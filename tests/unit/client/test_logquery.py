"""The query of a log: what the API server writes, the kubelet reads as it was meant."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.errors import BadRequest
from cubernetes.client.wire.logquery import LogQuery, log_query, query_text

queries = st.builds(
    LogQuery,
    follow=st.booleans(),
    previous=st.booleans(),
    timestamps=st.booleans(),
    tail_lines=st.none() | st.integers(0, 1_000_000),
    since_seconds=st.none() | st.integers(1, 10**6),
    limit_bytes=st.none() | st.integers(1, 2**62),
)


@given(queries)
def test_what_is_written_is_read_back(asked: LogQuery) -> None:
    assert log_query(parse_qsl(query_text(asked))) == asked


def test_a_time_is_read_to_the_nanosecond() -> None:
    def since(text: str) -> int:
        return log_query([("sinceTime", text)]).since_ns

    assert since("1970-01-01T00:00:01Z") == 1_000_000_000
    assert since("1970-01-01T01:00:01+01:00") == 1_000_000_000
    assert since("2023-11-14T22:13:20.123456789Z") == 1_700_000_000_123_456_789
    assert since("2023-11-14T22:13:20.5Z") == 1_700_000_000_500_000_000


@pytest.mark.parametrize(
    "text", ["yesterday", "2023-11-14", "2023-11-14T22:13:20", "2023-02-30T00:00:00Z", "1700000000"]
)
def test_what_is_no_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadRequest, match="sinceTime: must be a time such as"):
        log_query([("sinceTime", text)])
