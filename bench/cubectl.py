"""What a short command costs before and around its one request: `python -m bench.cubectl`.

Each command line is run many times, in turns with kubectl's where there is one on PATH, against
the real API server over TLS. Processor time (user and system) of the whole process, as the kernel
counts it, and its ratio to kubectl's: seconds depend on machines, ratios hardly. Takes a minute.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.ground.report import Figures, progress, show, spread
from bench.ground.serving import serving, write_kubeconfig

RUNS = 20
LINES: Mapping[str, Sequence[str]] = {
    "get pods": ("get", "pods"),
    "get one as yaml": ("get", "namespace", "default", "-o", "yaml"),
    "version": ("version",),
}
# Python itself, with nothing to do: what no change of ours can save.
NOTHING = (sys.executable, "-c", "pass")


def cpu_ms(argv: Sequence[str], environment: Mapping[str, str]) -> float:
    """Run a command that must succeed; return the milliseconds of processor time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1000


def figures_of(environment: Mapping[str, str], kubectl: str | None) -> Figures:
    programs = {"cubectl": (sys.executable, "-m", "cubectl"), "kubectl": (kubectl,)}
    figures: dict[str, object] = {}
    for title, words in LINES.items():
        progress(title)
        spent: dict[str, list[float]] = {}
        for _ in range(RUNS):
            for name, program in programs.items():
                if program[0] is not None:
                    argv = [*(part for part in program if part), *words]
                    spent.setdefault(name, []).append(cpu_ms(argv, environment))
        told: dict[str, object] = {f"{name}_ms": spread(taken) for name, taken in spent.items()}
        if kubectl:
            told["ratio"] = round(min(spent["cubectl"]) / min(spent["kubectl"]), 2)
        figures[title] = told
    figures["python_alone_ms"] = spread([cpu_ms(NOTHING, environment) for _ in range(RUNS)])
    return figures


def main() -> None:
    kubectl = shutil.which("kubectl")
    with serving(core=0) as served, tempfile.TemporaryDirectory() as home:
        config = write_kubeconfig(Path(home), served)
        environment = {**os.environ, "HOME": home, "KUBECONFIG": str(config)}
        figures = figures_of(environment, kubectl)
    show("cubectl", {"runs": RUNS, "kubectl": kubectl or "none"}, figures)


if __name__ == "__main__":
    main()
