"""`fedpeft serve`: an adapter answers over HTTP."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add `serve`."""
    app.command()(serve)


def serve(
    adapter: Annotated[Path, typer.Option(help="An adapter's folder, its run's, or that of an int8 or merged export.")],
    site: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=DIR", help="A site and the folder of its own private.safetensors; one for each."),
    ] = None,
    base_model: Annotated[
        Path | None, typer.Option(help="The base model's folder, if not where the study says.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; others than loopback need a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    max_batch: Annotated[int, typer.Option(min=1, help="Rows that are computed together.")] = 32,
    max_wait_ms: Annotated[float, typer.Option(min=0, help="How long a row may wait for others.")] = 5.0,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the model on the CPU.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")] = "cpu",
    token_file: Annotated[Path | None, typer.Option(help="A file with the token that clients must send.")] = None,
) -> None:
    """Answer predictions over HTTP until SIGTERM; SIGHUP loads the adapter anew."""
    from client.serving.batching import Sizes
    from client.serving.running import read_token, serve
    from client.serving.service import Settings

    settings = Settings(
        adapter,
        base_model=base_model,
        sites=_sites(site or []),
        device=device,
        threads=threads,
        sizes=Sizes(max_batch=max_batch, max_wait_s=max_wait_ms / 1000),
        token=None if token_file is None else read_token(token_file),
    )
    serve(settings, host=host, port=port, say=typer.echo)


def _sites(given: list[str]) -> dict[str, Path]:
    from common.errors import UserError

    found: dict[str, Path] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder) or name in found:
            raise UserError(f"--site {text}: expected NAME=DIR, each name once")
        found[name] = Path(folder)
    return found
