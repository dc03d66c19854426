"""Whether torch.compile pays: seconds that it takes, and after how many rounds of the bare loop they are gained."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from itertools import islice
from pathlib import Path
from time import perf_counter

from client.execution import resolve
from common.machine import usable_cores
from simulations.bench.bare_loop import BareLoop, Load, load_of, tokenised
from simulations.bench.contenders import HEART
from simulations.bench.pairs import in_turns, paired, pays_after
from simulations.catalogue import base_folder, load
from simulations.virtual import read_sites

BATCHES = 6
"""Of one site, of several lengths: enough to know what a batch takes."""
TURNS = 5


def measure_compiling(turns: int = TURNS, study_name: str = HEART) -> dict[str, float]:
    """Compile the blocks of a bare loop's model for any shape, and train the same batches with and without."""
    with tempfile.TemporaryDirectory() as out:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(out) / "compiled")  # of its own: nothing is compiled already
        study = load(study_name)
        base = base_folder(study, Path(out))
        whole = load_of(study, tokenised(study, read_sites(study, Path(out)), base), round_number=1)
        few = Load([list(islice(whole.training[0], BATCHES))], ())
        execution = replace(resolve(), threads=usable_cores())
        plain, compiled = (BareLoop(str(base), study, execution) for _ in range(2))
        _compile_blocks(compiled)
        begin = perf_counter()
        compiled.round(few)
        first = perf_counter() - begin
        seconds = in_turns({"compiled": lambda: compiled.round(few), "plain": lambda: plain.round(few)}, turns)
    batches = sum(len(site) for site in whole.training)
    before, after = (min(seconds[name]) * batches / len(few.training[0]) for name in ("plain", "compiled"))
    once = first - min(seconds["compiled"])
    return {
        **paired(seconds["compiled"], seconds["plain"]).figures("compile_compiled_over_plain"),
        "compile_seconds": once,
        "compile_gain_seconds_per_round": before - after,
        "compile_pays_after_rounds": pays_after(once, before=before, after=after),
    }


def _compile_blocks(loop: BareLoop) -> None:
    from common.peft_methods import _targets

    model, _ = loop.modules
    for _, block in _targets.blocks(model):
        block.compile(dynamic=True)
