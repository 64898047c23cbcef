"""Streams of remote write requests, made before the clock runs, and how they are sent."""

import http.client
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import cramjam
import numpy as np

from bench.tsdb.datasets import STEP_MS, Floats, dataset
from cubernetes.host.protowire import varint
from tsdb.columns.labels import Key, key_of_dict

HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


@dataclass(frozen=True)
class Stream:
    """Requests for each connection, in order; a series belongs to one connection."""

    lanes: list[list[bytes]]
    sample_count: int


def key_for(name: str, number: int) -> Key:
    """Return labels as a cluster's metrics have them: some eight, about 150 characters."""
    return key_of_dict(
        {
            "__name__": name,
            "cluster": "production-eu-1",
            "container": f"app-{number % 7}",
            "instance": f"10.32.{number % 50}.{number % 17}:9100",
            "job": "kubernetes-pods",
            "namespace": f"team-{number % 23}",
            "node": f"node-{number % 50:03}",
            "pod": f"web-{number // 10:05}-x7f{number % 10}k",
            **({"le": str(0.001 * 2 ** (number % 12))} if "bucket" in name else {}),
        }
    )


def request_of(keys: Sequence[Key], at_ms: int, values: Floats) -> bytes:
    """Return one request with one sample for each series, as a Prometheus sends it."""
    time_part = b"\x10" + varint(at_ms)
    out = bytearray()
    for key, value in zip(keys, values.tolist(), strict=True):
        sample = (b"\x09" + struct.pack("<d", value) if value else b"") + time_part
        body = key + b"\x12" + varint(len(sample)) + sample
        out += b"\x0a" + varint(len(body)) + body
    return bytes(cramjam.snappy.compress_raw(bytes(out)))


def stream(name: str, series: int, samples: int, end_ms: int, lanes: int = 4) -> Stream:
    """Return a data set as a stream that ends at end_ms; every series has 1/lanes of them."""
    matrix = dataset(name, series, samples)
    keys = [key_for(f"bench_{name}_total", number) for number in range(series)]
    first_ms = (end_ms // STEP_MS - samples + 1) * STEP_MS
    parts = np.array_split(np.arange(series), lanes)
    made = [
        [
            request_of([keys[row] for row in rows], first_ms + STEP_MS * at, matrix[rows, at])
            for at in range(samples)
        ]
        for rows in parts
        if len(rows)
    ]
    return Stream(made, series * samples)


def send(port: int, found: Stream) -> float:
    """Send a stream over one connection for each lane; return the seconds it took."""
    failures: list[str] = []

    def lane(requests: list[bytes]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        for body in requests:
            connection.request("POST", "/api/v1/write", body, HEADERS)
            answer = connection.getresponse()
            told = answer.read()
            if answer.status >= 300:
                failures.append(f"{answer.status} {told[:200]!r}")
                break
        connection.close()

    threads = [threading.Thread(target=lane, args=(requests,)) for requests in found.lanes]
    began_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]
    return time.perf_counter() - began_s
