"""`fedpeft audit ...`: what attacks find in a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from simulations.audit.findings import Audit


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Find out by attacks what an adapter and its updates give away.", no_args_is_help=True)
    group.callback()(_group)
    group.command()(leakage)
    app.add_typer(group, name="audit")


def _group() -> None:
    """Find out by attacks what an adapter and its updates give away."""


def leakage(
    run: Annotated[Path | None, typer.Argument(help="The folder of a finished simulation.")] = None,
    site: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Instead of a simulation: a real site's folder, for its own rows."),
    ] = None,
    adapter: Annotated[Path | None, typer.Option(help="With --site: the exported adapter's folder.")] = None,
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
    from simulations.audit.terminal import print_audit

    found, folder = _audited(run, site, adapter, shadows=shadows, resamples=resamples)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2, allow_nan=False))
    else:
        print_audit(found, folder)
    if strict and found.verdict == "fail":
        raise typer.Exit(1)


def _audited(
    run: Path | None, site: Path | None, adapter: Path | None, *, shadows: int, resamples: int
) -> "tuple[Audit, Path]":
    """Return the audit, and the folder with its files."""
    from simulations.audit.auditing import Options, audit
    from simulations.audit.site_audit import FOLDER, audit_site
    from simulations.audit.terminal import tell

    options = Options(shadows=shadows, resamples=resamples, tell=tell)
    if run is not None and site is None and adapter is None:
        return audit(run, options), run
    if run is None and site is not None and adapter is not None and not shadows:
        return audit_site(site, adapter, options), site / FOLDER
    raise typer.BadParameter("give the folder of a simulation, or --site DIR with --adapter DIR (and no --shadows)")
