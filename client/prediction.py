"""Predictions of an exported adapter for rows of a file: what a hospital does with the joint model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from client.execution import limited_threads
from client.opening import Place, open_model
from client.rows import read_inputs
from client.scoring import predicted_rows
from common.errors import UserError
from common.files import write_bytes


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
    opened = open_model(Place(adapter, base_folder), private=private, threads=threads)
    bench = opened.bench
    inputs = read_inputs(data, opened.study).inputs
    examples = bench.task.encode(bench.reader, inputs, None, max_length=bench.max_length)
    with limited_threads(threads):
        return Predictions(predicted_rows(bench, examples, execution=opened.execution))


def write_predictions(predictions: Predictions, out: Path) -> None:
    """Write a CSV: row number from 1, then the columns of the task's predictions. Raises UserError."""
    import pandas

    table = pandas.DataFrame([{"row": number, **row} for number, row in enumerate(predictions.rows, start=1)])
    content = table.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    try:
        write_bytes(out, content.encode())
    except OSError as error:
        raise UserError(f"--out {out} cannot be written ({error.strerror}); name another file") from None
