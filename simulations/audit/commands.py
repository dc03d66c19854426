"""`fedpeft audit ...`: what attacks find in a run."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Find out by attacks what an adapter and its updates give away.", no_args_is_help=True)
    group.callback()(_group)
    group.command()(leakage)
    app.add_typer(group, name="audit")


def _group() -> None:
    """Find out by attacks what an adapter and its updates give away."""


def leakage(
    run: Annotated[Path, typer.Argument(help="The folder of a finished simulation.")],
    shadows: Annotated[
        int, typer.Option(min=0, help="Train so many shadow adapters too, an even number; from 8 on they fit normals.")
    ] = 0,
    resamples: Annotated[int, typer.Option(min=20, help="Bootstrap resamples of each interval.")] = 1000,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where the audit fails.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print audit.json on stdout instead of a table.")] = False,
) -> None:
    """Attack a finished run: canaries, membership, tokens of its uploads. Writes audit.html and audit.json there."""
    import json

    from common.quiet import silence_libraries

    silence_libraries()
    from simulations.audit.auditing import Options, audit
    from simulations.audit.terminal import print_audit, tell

    found = audit(run, Options(shadows=shadows, resamples=resamples, tell=tell))
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2, allow_nan=False))
    else:
        print_audit(found, run)
    if strict and found.verdict == "fail":
        raise typer.Exit(1)
