"""`fedpeft predict`: an adapter at work on a hospital's rows."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(predict)


def predict(
    adapter: Annotated[Path, typer.Option(help="The exported adapter's folder.")],
    data: Annotated[Path, typer.Option(help="Rows to score: CSV, TSV or Parquet with the study's columns.")],
    out: Annotated[
        Path,
        typer.Option(help="CSV to write: row, prediction, probabilities where there are such."),
    ],
    base_model: Annotated[
        Path | None, typer.Option(help="The base model's folder, if not where the study says.")
    ] = None,
    private: Annotated[Path | None, typer.Option(help="Folder with the site's own private.safetensors.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads on the CPU.")] = 1,
) -> None:
    """Score the rows of a file with an adapter."""
    from client.prediction import predict as score
    from client.prediction import write_predictions
    from common.adapter_folder import read_adapter
    from common.errors import ModelError

    if base_model is not None and not base_model.is_dir():
        raise ModelError(f"--base-model {base_model}: there is no such folder")
    folder = base_model or _base_of(adapter, read_adapter(adapter).study.base_model.source)
    predictions = score(adapter, data, base_folder=folder, private=private, threads=threads)
    write_predictions(predictions, out)
    typer.echo(f"wrote {out}: {len(predictions.rows)} rows")


def _base_of(adapter: Path, source: str) -> Path:
    """Return the folder that `base_model.source` means here; a generated model lies beside its run's adapter."""
    from common.base_files import locate
    from common.errors import ModelError

    if source.startswith("generated:"):
        folder = adapter.resolve().parent / "generated" / source.removeprefix("generated:")
        if folder.is_dir():
            return folder
        raise ModelError(
            f"the base model of this adapter, {source!r}, was generated for a simulation, and is not beside it; "
            f"name its folder with --base-model: {folder.name} under generated/ of the run"
        )
    if source.startswith("dir:"):
        raise ModelError("this adapter's base model lay in a folder, which it does not name; give it with --base-model")
    return locate(source)
