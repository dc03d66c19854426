"""Size, rows per second and AUROC of MiniLM with LoRA merged, in float32, bf16 and with weights in 8 bits.

LoRA and head are trained on the heart rows' training patients for an epoch; measured are the test patients.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any  # results of another process

import numpy as np

from client.execution import resolve
from client.export._measuring import Measured, labelled_rows, measure
from client.exporting import export_to
from client.opening import Place, open_model
from client.recipe import recipe_of
from client.rows import read_rows
from client.split import split_patients
from client.table_files import read_raw
from client.training import train
from client.whole_model import WEIGHTS
from common.adapter_folder import write_adapter
from common.preparation import prepare
from common.study import Study
from common.workbench import open_workbench
from simulations.catalogue import base_folder, load, rows_path
from simulations.export_sites import csv_of

EPOCHS = 1


def eight_bits_figures(apart: Callable[..., Any]) -> Iterator[Mapping[str, float]]:
    """Measure in a process of its own."""
    for each in apart(measure_eight_bits):
        yield {
            f"{each.name}_megabytes": each.size_bytes / 1e6,
            f"{each.name}_rows_per_s": each.rows_per_s,
            f"{each.name}_auroc": float("nan") if each.value is None else each.value,
        }


def measure_eight_bits(study_name: str = "heart-lora", epochs: int = EPOCHS, passes: int = 5) -> Sequence[Measured]:
    """Train, export, and score the test rows in each precision in turn."""
    study = load(study_name)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        base = base_folder(study, folder)
        test = _trained(study, base, folder, epochs=epochs)
        place = Place(folder / "adapter", base)
        list(export_to("int8", place, folder / "int8"))
        list(export_to("merged", place, folder / "merged"))
        full, small = ((folder / name / WEIGHTS).stat().st_size for name in ("merged", "int8"))
        int8, merged = (Place(folder / name, folder / name) for name in ("int8", "merged"))
        models = {
            "fp32": (open_model(merged, precision="fp32"), full),
            "bf16": (open_model(merged, precision="bf16"), full // 2),
            "int8": (open_model(int8, precision="auto"), small),
        }
        return measure(models, labelled_rows(models["fp32"][0], test), threads=1, passes=passes)


def _trained(study: Study, base: Path, folder: Path, *, epochs: int) -> Path:
    """Write the adapter to `folder`/adapter, and return a table of the test rows."""
    table = rows_path(study, folder)
    rows = read_rows(table, study)
    parts = split_patients(rows.patients, split_seed=0, validation_fraction=0.0, test_fraction=0.3)
    bundle, bench = prepare(study, base, folder / "bundle"), open_workbench(study, base)
    mine = rows.take(parts.train)
    examples = bench.task.encode(bench.reader, mine.inputs, mine.labels, max_length=bench.max_length)
    for epoch in range(epochs):
        recipe = recipe_of(study, round_number=epoch + 1)
        rng, execution = np.random.default_rng(epoch), resolve(precision=study.training.precision)
        train(bench, examples, recipe, active=list(bench.parameters), execution=execution, rng=rng, dropout_seed=epoch)
    write_adapter(folder / "adapter", bundle, bench.read(), card="")
    (folder / "test.csv").write_bytes(csv_of(read_raw(table), parts.test.tolist()))
    return folder / "test.csv"
