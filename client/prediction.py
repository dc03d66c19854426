"""Predictions of an exported adapter for rows of a file: what a hospital does with the joint model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.numpy

from client.execution import limited_threads, resolve
from client.rows import read_inputs
from client.scoring import predicted_rows
from common.adapter_folder import Exported, read_adapter
from common.base_files import check_digest
from common.errors import BundleError, SchemaError, UserError
from common.files import write_bytes
from common.state import AdapterState
from common.workbench import open_workbench

PRIVATE = "private.safetensors"


@dataclass(frozen=True)
class Predictions:
    """One mapping of columns for each row, in the order of the file's rows; all rows have the same columns."""

    rows: Sequence[Mapping[str, object]]

    def column(self, name: str) -> list[object]:
        """Return one column."""
        return [row[name] for row in self.rows]


def predict(
    adapter: Path, data: Path, *, base_folder: Path, private: Path | None = None, threads: int = 1
) -> Predictions:
    """Predict every row of `data` with the adapter on the base model in `base_folder`; its digest must be the study's.

    private: the folder with a site's own `private.safetensors`, needed where the study has private groups.
    """
    exported = read_adapter(adapter)
    study = exported.study
    check_digest(base_folder, study.base_model.digest)
    inputs = read_inputs(data, study).inputs
    execution = resolve(precision=study.training.precision, threads=threads)
    bench = open_workbench(study, base_folder, attention=execution.attention).to(execution.device)
    bench.write({**exported.shared, **private_tensors(exported, private)})
    examples = bench.task.encode(bench.reader, inputs, None, max_length=bench.max_length)
    with limited_threads(execution.threads):
        return Predictions(predicted_rows(bench, examples, execution=execution))


def private_tensors(exported: Exported, folder: Path | None) -> AdapterState:
    """Return a site's own tensors of an adapter, from its `private.safetensors` in `folder`. Raises BundleError."""
    schema = exported.schema.private
    if not schema.tensors:
        return {}
    if folder is None:
        raise BundleError(
            f"this study keeps {len(schema.tensors)} tensors at each site (peft.private); "
            f"name the folder with a site's own with --private, the one that holds {PRIVATE}"
        )
    try:
        state = safetensors.numpy.load_file(folder / PRIVATE)
        schema.check(state)
    except FileNotFoundError:
        raise BundleError(f"--private {folder}: there is no {PRIVATE} in it") from None
    except (safetensors.SafetensorError, SchemaError) as error:
        raise BundleError(f"--private {folder}: {PRIVATE} does not fit the study: {error}") from None
    return dict(state)


def write_predictions(predictions: Predictions, out: Path) -> None:
    """Write a CSV: row number from 1, then the columns of the task's predictions. Raises UserError."""
    import pandas

    table = pandas.DataFrame([{"row": number, **row} for number, row in enumerate(predictions.rows, start=1)])
    content = table.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    try:
        write_bytes(out, content.encode())
    except OSError as error:
        raise UserError(f"--out {out} cannot be written ({error.strerror}); name another file") from None
