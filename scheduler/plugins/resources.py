"""What is requested must fit into what the node can give, beside what is promised already."""

from scheduler.seat import Demand, Seat

MEBI = 1 << 20


def resources(demand: Demand, seat: Seat) -> str:
    facts, load = seat.facts, seat.load
    if load.pod_count >= facts.pod_count:
        return f"has room for {facts.pod_count} pods and runs {load.pod_count}"
    lacks = []
    # A pod that asks for nothing fits a node that has promised everything.
    if demand.cpu_milli and demand.cpu_milli > facts.cpu_milli - load.cpu_milli:
        left = max(0, facts.cpu_milli - load.cpu_milli)
        lacks.append(f"needs {demand.cpu_milli}m cpu, has {left}m free")
    if demand.memory_bytes and demand.memory_bytes > facts.memory_bytes - load.memory_bytes:
        left = max(0, facts.memory_bytes - load.memory_bytes)
        lacks.append(f"needs {_mebi(demand.memory_bytes)} memory, has {_mebi(left)} free")
    return " and ".join(lacks)


def _mebi(count: int) -> str:
    return f"{count / MEBI:.0f}Mi" if count >= MEBI else f"{count} bytes"
