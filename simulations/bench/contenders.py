"""The ways to play a round that the section `simulator` compares: `python -m simulations.bench.contenders NAME`.

The work is a study's: at each of its sites, score the validation rows, then train the training rows for an epoch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from common.machine import usable_cores
from common.quiet import silence
from simulations.bench.turns import Turns, serve

if TYPE_CHECKING:
    from simulations.engine.plan import Wanted
    from simulations.virtual import VirtualSites

STUDY = "FEDPEFT_BENCH_STUDY"
"""The variable that names the study."""
HEART = "heart-lora"
_NEVER = 100_000
"""Rounds that nobody waits for."""


def ours(turns: Turns, *, precision: str, one_by_one: bool = False) -> None:
    """Rounds of a simulation in process, in groups as the engine decides, or one site after the other."""
    from server.events import Event, RoundFinished
    from simulations import stages
    from simulations.engine.plan import AS_SUITS, Wanted

    def pause(event: Event) -> None:
        if isinstance(event, RoundFinished):
            turns.done()

    with opened(precision, Wanted(clients=1) if one_by_one else AS_SUITS) as sites:
        stages.play(sites, runtime="inprocess", progress=pause)


@contextmanager
def opened(
    precision: str, groups: Wanted, overrides: Sequence[str] = (), *, study: str | None = None
) -> Iterator[VirtualSites]:
    """Prepare a run of a study, by default that whose rounds are played, in a folder that goes away."""
    import tempfile
    from pathlib import Path

    from simulations import stages
    from simulations.catalogue import load
    from simulations.folder import RunFolder

    fixed = [f"federation.rounds={_NEVER}", f"training.precision={precision}", *overrides]
    found = load(study or study_name(), overrides=fixed)
    with tempfile.TemporaryDirectory() as out:
        yield stages.start(found, RunFolder(Path(out) / "run"), threads=1, device="cpu", groups=groups)


def bare(turns: Turns, *, precision: str) -> None:
    """The bare loop, with a thread for each core."""
    import tempfile
    from pathlib import Path

    from client.execution import resolve
    from simulations.bench.bare_loop import BareLoop, load_of, tokenised
    from simulations.catalogue import base_folder, load
    from simulations.virtual import read_sites

    study = load(study_name())
    with tempfile.TemporaryDirectory() as out:
        base = base_folder(study, Path(out))
        rows = tokenised(study, read_sites(study, Path(out)), base)
        loop = BareLoop(str(base), study, replace(resolve(precision=precision), threads=usable_cores()))
        for number in count(1):
            loop.round(load_of(study, rows, round_number=number))
            turns.done()


def flower(turns: Turns, *, resident: bool) -> None:
    """Flower's own simulation on Ray, the base model loaded for each message or once for each of its actors."""
    from simulations.bench.flower_rival import play

    play(turns, study_name(), resident=resident)


def products(turns: Turns, *, precision: str) -> None:
    """Nothing but the matrix products of our round, in as many threads."""
    from simulations.bench.products import Replay, products_of_round
    from simulations.engine.plan import AS_SUITS

    with opened(precision, AS_SUITS) as sites:
        replay = Replay(products_of_round(sites), sites.decision.shape.workers, sites.execution.threads)
    with replay.ready() as play:
        while True:
            play()
            turns.done(flops=float(replay.flops))


def study_name() -> str:
    """Return the name of the study whose rounds are played."""
    return os.environ.get(STUDY, HEART)


FP32: Mapping[str, Callable[[Turns], None]] = {
    "ours": partial(ours, precision="fp32"),
    "ours_one_by_one": partial(ours, precision="fp32", one_by_one=True),
    "bare": partial(bare, precision="fp32"),
    "products": partial(products, precision="fp32"),
    "flower_fresh": partial(flower, resident=False),
    "flower_resident": partial(flower, resident=True),
}
BF16: Mapping[str, Callable[[Turns], None]] = {
    "ours_bf16": partial(ours, precision="bf16"),
    "bare_bf16": partial(bare, precision="bf16"),
    "products_bf16": partial(products, precision="bf16"),
}
"""Only where the processor multiplies bf16 itself."""


if __name__ == "__main__":
    silence(os.environ)
    serve({**FP32, **BF16}[sys.argv[1]])
