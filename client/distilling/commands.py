"""`fedpeft distill`: a small student of the federated model, on a site's own rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from client.distilling.learning import Told
    from client.distilling.outcome import Distilled

Data = Annotated[Path | None, typer.Option(help="The site's own labelled rows: CSV, TSV or Parquet.")]
SiteFolder = Annotated[
    Path | None, typer.Option(metavar="SITE", help="Instead: a site's folder, whose settings name its rows.")
]
BaseModel = Annotated[Path | None, typer.Option(help="The base model's folder, if not where study or site say.")]
Parameters = Annotated[
    float, typer.Option(min=0.001, max=1.0, help="The student's share of the teacher's parameters, at most.")
]
Epochs = Annotated[int, typer.Option(min=1, help="Passes over the training rows; validation rows choose one.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(distill)


def distill(
    adapter: Annotated[Path, typer.Option(help="The teacher: an exported adapter's folder, or its run's.")],
    out: Annotated[Path, typer.Option(help="A new folder for the student.")],
    data: Data = None,
    site_folder: SiteFolder = None,
    base_model: BaseModel = None,
    private: Annotated[Path | None, typer.Option(help="Folder with the site's own private.safetensors.")] = None,
    parameters: Parameters = 0.1,
    epochs: Epochs = 30,
    temperature: Annotated[float, typer.Option(min=0.01, help="Of the teacher's probabilities; softer above 1.")] = 2.0,
    weight: Annotated[float, typer.Option(min=0.0, max=0.99, help="Of the teacher against the rows' labels.")] = 0.5,
    learning_rate: Annotated[float, typer.Option(min=1e-7, help="Of the student's training.")] = 5e-4,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows of one step.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads on the CPU.")] = 1,
) -> None:
    """Teach a student of about a tenth of the parameters on a site's own rows; it stays at the site."""
    from client.distilling.distil import distil
    from client.distilling.pair import Settings
    from client.distilling.places import places_of
    from common.adapter_reference import adapter_folder
    from common.quiet import silence_libraries

    silence_libraries()
    folder = adapter_folder(adapter)
    rows, base = places_of(folder, data=data, site=site_folder, base_model=base_model)
    settings = Settings(parameters, epochs, temperature, weight, learning_rate, batch_size, seed)
    found = distil(folder, rows, out, settings, base=base, private=private, threads=threads, told=_telling(epochs))
    _say(found, out)


def _telling(epochs: int) -> Told:
    def tell(epoch: int, value: float | None) -> None:
        shown = "no validation rows" if value is None else f"{value:.4f} on validation rows"
        typer.echo(f"epoch {epoch}/{epochs}: {shown}", err=True)

    return tell


def _say(found: Distilled, out: Path) -> None:
    from client.distilling.page import STAYS, metric_words, table_of

    typer.echo(f"{found.shape}: {found.fraction:.1%} of the teacher's parameters; epoch {found.epoch} was kept")
    typer.echo(table_of(found))
    if found.difference is not None:
        words = metric_words(found.difference, signed=True)
        typer.echo(f"test {found.lead}, student minus teacher on the same patients: {words}")
    typer.echo(f"wrote {out}; score a file with: fedpeft predict --adapter {out} --data rows.csv --out predictions.csv")
    typer.echo(STAYS)
