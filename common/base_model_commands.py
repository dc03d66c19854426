"""`fedpeft base-model`: which base model a folder holds, and one whose weights come in another form."""

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


@base_model_app.command("convert-efficientnet-lite")
def convert_efficientnet_lite(
    out: Annotated[str, typer.Option(help="The new folder.")],
    weights: Annotated[
        str | None, typer.Option(help="The checkpoint, where the package that has it is not installed.")
    ] = None,
) -> None:
    """Write EfficientNet-Lite0 as a folder of safetensors; its weights come with fedpeft[efficientnet]."""
    from pathlib import Path

    from common.architectures._convert import convert
    from common.base_files import digest_manifest, manifest

    folder = Path(out).expanduser()
    convert(folder, None if weights is None else Path(weights).expanduser())
    typer.echo(f'base_model = {{ source = "dir:{folder}", digest = "{digest_manifest(manifest(folder))}" }}')


@base_model_app.command("convert-gguf")
def convert_gguf(
    source: Annotated[str, typer.Argument(help="A file .gguf, a folder with one, or package:NAME/FOLDER.")],
    out: Annotated[str, typer.Option(help="The new folder.")],
) -> None:
    """Write a decoder in GGUF as a folder of safetensors, for base_model.source = "dir:..."; needs fedpeft[gguf]."""
    from pathlib import Path

    from common.base_files import digest_manifest, folder_of, manifest
    from common.gguf_files import convert, gguf_in

    place = folder_of(source) if source.startswith("package:") else Path(source).expanduser()
    folder = Path(out).expanduser()
    convert(gguf_in(place), folder)
    typer.echo(f'base_model = {{ source = "dir:{folder}", digest = "{digest_manifest(manifest(folder))}" }}')
