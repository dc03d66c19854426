"""A round of `heart-lora` here, in a bare loop, in Flower's simulation and others', and its matrix products alone.

All are processes that wait for each other (`simulations.bench.turns`), so that each turn gives a pair of any two.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from client.execution import resolve
from simulations.bench.contenders import BF16, FP32, STUDY, study_name
from simulations.bench.pairs import paired
from simulations.bench.rivals.work import WORK, write_work
from simulations.bench.turns import Contender, Played, module, play_turns, script

TURNS = 5
RIVALS = Path(__file__).parent / "rivals"
PYTHONS: Mapping[str, str] = {"nvflare": "FEDPEFT_BENCH_NVFLARE", "pfl": "FEDPEFT_BENCH_PFL"}
"""Of simulators that need libraries of their own: the variable that holds the path of a Python which has them."""
PAIRS = (
    ("ours", "ours_one_by_one"),
    ("ours", "bare"),
    ("ours", "products"),
    ("ours", "flower_fresh"),
    ("ours", "flower_resident"),
    ("ours", "nvflare"),
    ("ours", "pfl"),
    ("bare", "flower_fresh"),
    ("ours_bf16", "bare"),
    ("ours_bf16", "bare_bf16"),
    ("ours_bf16", "products_bf16"),
    ("ours_bf16", "flower_fresh"),
)


def simulator_figures(turns: int = TURNS, *, study: str | None = None) -> Iterator[Mapping[str, float]]:
    """Play the turns, and yield ratios, seconds, memory and start-up."""
    study = study or study_name()
    with TemporaryDirectory() as scratch:
        played = play_turns(list(contenders(study, Path(scratch))), turns)
    yield from ratios(played)
    for name, each in played.items():
        yield figures_of(name, each)


def contenders(study: str, scratch: Path) -> Iterator[Contender]:
    """Yield those that can play on this machine; say which cannot."""
    names = list(FP32)
    if resolve().precision == "bf16":
        names += BF16
    else:
        sys.stderr.write("simulator: no bf16, since this processor does not multiply it\n")
    for name in names:
        yield Contender(name, module("simulations.bench.contenders", name), {STUDY: study})
    for name, variable in PYTHONS.items():
        if variable not in os.environ:
            sys.stderr.write(f"simulator: no {name}; {variable}=/path/to/python names a Python that has it\n")
            continue
        work = write_work(study, scratch)
        root = str(RIVALS.parents[2])
        yield Contender(
            name, script(os.environ[variable], RIVALS / f"{name}_rival.py"), {WORK: work, "PYTHONPATH": root}
        )


def ratios(played: Mapping[str, Played]) -> Iterator[Mapping[str, float]]:
    """Yield each pair's ratio of seconds in turns, and of processor time, which others' work disturbs less."""
    for one, other in _present(played):
        a, b = played[one], played[other]
        yield paired(a.seconds, b.seconds).figures(f"simulator_{one}_over_{other}")
        yield {f"simulator_{one}_over_{other}_cpu": paired(a.cpu_seconds, b.cpu_seconds).median}


def _present(played: Mapping[str, Played]) -> Sequence[tuple[str, str]]:
    return [pair for pair in PAIRS if set(pair) <= set(played)]


def figures_of(name: str, played: Played) -> Mapping[str, float]:
    """Return one contender's own figures."""
    found = {
        f"simulator_{name}_seconds_best": min(played.seconds),
        f"simulator_{name}_cpu_seconds_best": min(played.cpu_seconds),
        f"simulator_{name}_startup_seconds": played.startup_s,
        f"simulator_{name}_peak_mb": played.peak_mb,
    }
    if "flops" in played.also:
        found[f"simulator_{name}_gflop_per_s"] = played.also["flops"] / min(played.seconds) / 1e9
        found[f"simulator_{name}_gflop"] = played.also["flops"] / 1e9
    return found
