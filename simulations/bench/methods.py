"""`make bench-methods`: every PEFT method on the heart rows with MiniLM, as one table in docs/methods.md.

Per method and on one thread: numbers trained, bytes up per site and round, peak memory and seconds of one epoch over
all training rows, and the federated model's AUROC over all test rows (exact, from the sites' own scores), mean and
range over splits. The learning rate is chosen among a few on another split, by validation log loss. What was measured
is kept, so that the command goes on where it stopped.

`python -m simulations.bench.methods [--study NAME] [--out FOLDER] [--splits N] [METHOD ...]`; every row is of the first
N splits, however many were measured. Another study than heart-lora, such as `quick`, tries the tool in a minute: its
rows are printed, kept apart, and put on no page.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any  # JSON

import numpy as np

from common.files import write_json
from common.quiet import silence
from common.study import Study
from simulations.catalogue import load

STUDY = "heart-lora"
CHOOSING_SPLIT = 100
"""The rate is chosen on it alone; the splits that are reported count from 0."""
CHOOSING_ROUNDS = 4
START, END = "<!-- measured: begin -->", "<!-- measured: end -->"
METHODS: Mapping[str, tuple[str, Sequence[float]]] = {
    "lora": ("{method='lora', rank=8}", (1.5e-3,)),
    "prefix": ("{method='prefix', virtual_tokens=25}", (1e-2,)),
    "full": ("{method='full'}", (3e-5, 1e-4, 3e-4)),
    "last-layers": ("{method='last-layers', layers=2}", (1e-4, 3e-4)),
    "ia3": ("{method='ia3'}", (1e-2, 3e-2)),
    "bottleneck": ("{method='bottleneck'}", (1e-3, 3e-3)),
    "bitfit": ("{method='bitfit'}", (3e-3, 1e-2)),
    "layer-norm": ("{method='layer-norm'}", (3e-3, 1e-2)),
    "head": ("{method='head'}", (1e-2, 3e-2)),
    "prompt": ("{method='prompt'}", (1e-2, 3e-2)),
    "p-tuning": ("{method='p-tuning'}", (1e-3, 3e-3)),
    "vera": ("{method='vera'}", (1e-2, 3e-2)),
    "adalora": ("{method='adalora'}", (3e-3, 1e-2)),
    "hybrid": ("{method='hybrid', first={method='lora'}, second={method='layer-norm'}}", (1e-3, 3e-3)),
    "lora, dora": ("{method='lora', rank=8, dora=true}", (1.5e-3,)),
}
"""Name in the table: the study's `peft`, and the learning rates to choose from (LoRA's and prefix' were chosen for the
bundled studies)."""


def main(arguments: Sequence[str]) -> int:
    """Measure what is not there yet, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m simulations.bench.methods", description=__doc__)
    parser.add_argument("--study", default=STUDY)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--page", type=Path, default=Path("docs/methods.md"))
    parser.add_argument("methods", nargs="*")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.methods) - set(METHODS))
    if unknown:
        parser.error(f"there is no method {unknown[0]!r}; there are: {', '.join(METHODS)}")
    if options.splits < 1:
        parser.error(f"--splits {options.splits}: expected at least 1")
    silence(os.environ)
    out = options.out or Path("out/methods" if options.study == STUDY else f"out/methods-{options.study}")
    for name in options.methods or METHODS:
        measure(name, out, splits=options.splits, study=options.study)
        sys.stdout.write(row_of(name, out, splits=options.splits) + "\n")
        sys.stdout.flush()
    if options.study == STUDY:
        write_page(options.page, out, splits=options.splits)
    return 0


def measure(name: str, out: Path, *, splits: int, study: str = STUDY) -> None:
    """Choose the rate of one method, then play its splits and its epoch; what is in `out` is not done again."""
    _, rates = METHODS[name]
    losses = {}
    for rate in rates if len(rates) > 1 else ():
        path = out / _file(name, f"rate-{rate:g}")
        found = _kept(path, _federated, study, name, rate, CHOOSING_SPLIT, CHOOSING_ROUNDS)
        losses[rate] = found["validation_log_loss"]
    best = min(losses, key=losses.__getitem__) if losses else rates[0]
    write_json(out / _file(name, "rate"), {"learning_rate": best})
    for split in range(splits):
        _kept(out / _split_file(name, split, best), _federated, study, name, best, split, None)
    _kept(out / _file(name, "epoch"), _epoch, study, name, best)


def _kept(path: Path, work: Any, *arguments: Any) -> dict[str, Any]:
    """Return what the file has, or else what `work` finds in a process of its own, which is then in the file."""
    if not path.exists():
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            write_json(path, pool.submit(work, *arguments).result())
    return _read(path)


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _file(name: str, part: str) -> str:
    return f"{name.replace(', ', '-')}-{part}.json"


def _split_file(name: str, split: int, rate: float) -> str:
    return _file(name, f"split-{split}-{rate:g}")


def study_of(name: str, rate: float, split: int, rounds: int | None, *, study: str = STUDY) -> Study:
    """Return the study that one figure is of."""
    peft, _ = METHODS[name]
    overrides = [f"peft={peft}", f"training.learning_rate={rate}", f"seed={split}", f"evaluation.split_seed={split}"]
    overrides += ["evaluation.resamples=0", *([f"federation.rounds={rounds}"] if rounds else [])]
    return load(study, overrides=overrides)


def _federated(study: str, name: str, rate: float, split: int, rounds: int | None) -> dict[str, Any]:
    """Play the study, and score the adapter on all test rows together."""
    from sklearn.metrics import roc_auc_score

    from simulations.run import run
    from simulations.virtual import resident_sites

    with TemporaryDirectory() as folder:
        chosen = study_of(name, rate, split, rounds, study=study)
        content = run(chosen, out=Path(folder) / "run", comparison=False).content
        sites = resident_sites(str(Path(folder) / "run"))
        labels = np.concatenate([sites.rows[site].test.labels for site in sorted(sites.rows)])
        run_name = sites.folder.facts().run
        scores = np.concatenate([sites.trainer(site).store.test_scores(run_name) for site in sorted(sites.rows)])
    return {
        "auroc": float(roc_auc_score(labels, scores[:, 1])),
        "validation_log_loss": content["rounds"][-1]["validation"]["pooled"]["log_loss"]["value"],
        "parameters": content["parameters"],
        "bytes": content["bytes"]["up_per_site_round"],
    }


def _epoch(study: str, name: str, rate: float) -> dict[str, float]:
    """Train one epoch over all training rows in this process; return its seconds, and the process's peak memory."""
    from client.execution import limited_threads, resolve
    from client.recipe import recipe_of
    from client.site_rows import prepare_rows
    from client.training import train
    from common.workbench import open_workbench
    from simulations.bench.memory import peak_mb
    from simulations.catalogue import base_folder
    from simulations.virtual import read_sites

    chosen = study_of(name, rate, 0, None, study=study)
    execution = resolve(precision=chosen.training.precision)
    with TemporaryDirectory() as scratch:
        bench = open_workbench(chosen, base_folder(chosen, Path(scratch)), attention=execution.attention)
        parts = [prepare_rows(rows, chosen, bench) for rows in read_sites(chosen, Path(scratch)).values()]
    examples, seconds = [example for part in parts for example in part.train.examples], []
    with limited_threads(execution.threads):
        for again in range(3):
            begin = time.perf_counter()
            train(
                bench,
                examples,
                recipe_of(chosen, round_number=1),
                active=tuple(bench.parameters),
                execution=execution,
                rng=np.random.default_rng(again),
                dropout_seed=again,
            )
            seconds.append(time.perf_counter() - begin)
    return {"seconds_per_epoch": min(seconds), "peak_mb": peak_mb(), "rows": len(examples)}


def row_of(name: str, out: Path, *, splits: int) -> str:
    """Return one line of the table, from the files in `out`: of the first `splits` splits, as every other line."""
    rate = _read(out / _file(name, "rate"))["learning_rate"]
    found = [_read(out / _split_file(name, split, rate)) for split in range(splits)]
    epoch = _read(out / _file(name, "epoch"))
    parameters, aurocs = found[0]["parameters"], [each["auroc"] for each in found]
    cells = [
        name,
        f"{parameters['trainable']:,}",
        f"{100 * parameters['fraction']:.2f} %",
        f"{found[0]['bytes'] / 1000:,.0f} kB",
        f"{epoch['peak_mb']:,.0f} MB",
        f"{epoch['seconds_per_epoch']:.1f}",
        f"{rate:g}",
        f"{statistics.mean(aurocs):.3f} ({min(aurocs):.3f} to {max(aurocs):.3f})",
        "exact" if parameters["aggregates_linearly"] else "approximate",
    ]
    return f"| {' | '.join(cells)} |"


HEADER = (
    "| method | numbers trained | share | up per site and round | peak memory | seconds per epoch | learning rate "
    "| AUROC, pooled test rows | mean of adapters |"
)


def write_page(page: Path, out: Path, *, splits: int) -> None:
    """Put the table of all methods of which this many splits are measured between the page's two marks."""
    measured = [name for name in METHODS if _is_measured(name, out, splits)]
    table = "\n".join(
        [HEADER, "|---|---|---|---|---|---|---|---|---|", *(row_of(name, out, splits=splits) for name in measured)]
    )
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{START}\n{table}\n{END}{after}", encoding="utf-8")


def _is_measured(name: str, out: Path, splits: int) -> bool:
    if not all((out / _file(name, part)).exists() for part in ("rate", "epoch")):
        return False
    rate = _read(out / _file(name, "rate"))["learning_rate"]
    return all((out / _split_file(name, split, rate)).exists() for split in range(splits))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
