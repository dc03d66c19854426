"""From the start of a process to its first training step: seconds, CPU seconds, and what was loaded meanwhile."""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

STUDIES = ("heart", "quick")
RUNS = 5
_TELLING = Lock()


@dataclass(frozen=True)
class Start:
    """One start; cpu_seconds are those of the process itself, loaded its modules."""

    seconds: float
    cpu_seconds: float
    loaded: frozenset[str]


def start_figures() -> Iterator[Mapping[str, float]]:
    """Yield best and median of some starts of each study, the first of which fills the disk's cache and is left out."""
    for study in STUDIES:
        starts = [measure_start(study) for _ in range(RUNS + 1)][1:]
        seconds, cpu = [s.seconds for s in starts], [s.cpu_seconds for s in starts]
        yield {
            f"start_seconds_best_{study}": min(seconds),
            f"start_seconds_median_{study}": statistics.median(seconds),
            f"start_cpu_seconds_best_{study}": min(cpu),
            f"start_cpu_seconds_median_{study}": statistics.median(cpu),
        }


def measure_start(study: str) -> Start:
    """Start a simulation of `study` in a new process, which ends after its first training step."""
    program = "import sys; from simulations.bench.start import until_first_step; until_first_step(*sys.argv[1:])"
    with TemporaryDirectory() as folder:
        began = time.time()
        command = [sys.executable, "-c", program, study, str(Path(folder) / "run")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return Start(found["time"] - began, found["cpu"], frozenset(found["loaded"]))


def until_first_step(study: str, out: str) -> None:
    """Simulate until an optimizer has taken a step; then say when that was, and end the process."""
    from simulations.run import run

    run(study, out=out, runtime=_play, comparison=False)


def _play(*arguments: object) -> None:
    """Play the rounds as `inprocess` does. Torch is loaded by now, as late as the run itself loads it."""
    from simulations.engine.adamw import GroupedAdamW
    from simulations.stages import find_runtime

    def told(*arguments: object, **options: object) -> None:
        step(*arguments, **options)  # type: ignore[arg-type] # as they were given
        with _TELLING:  # another worker's first step may be taken at the same moment
            _tell()

    step = GroupedAdamW.step
    GroupedAdamW.step = told  # type: ignore[method-assign]
    find_runtime("inprocess")(*arguments)  # type: ignore[arg-type] # as `play` gives them to any runtime


def _tell() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    loaded = [name for name, module in list(sys.modules.items()) if type(module).__name__ != "LateModule"]
    told = {"time": time.time(), "cpu": used.ru_utime + used.ru_stime, "loaded": loaded}
    sys.stdout.write(json.dumps(told))
    sys.stdout.flush()
    os._exit(0)
