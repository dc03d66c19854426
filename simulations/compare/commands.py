"""`fedpeft compare`: strategies x methods x heterogeneity x seeds on this machine."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compare)


def compare(
    grid: Annotated[str | None, typer.Argument(help="A grid file, or the name of a bundled grid (--list).")] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder; runs/compare-NAME if not given.")] = None,
    plugins: Annotated[
        list[Path] | None, typer.Option("--plugins", metavar="DIR", help="Folder of your own aggregation strategies.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes, of one thread each; as many as cores if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print compare.json on stdout instead of a table.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the bundled grids.")] = False,
) -> None:
    """Compare aggregation strategies over seeds; what is in the output folder is not played again."""
    from simulations.compare.grid_file import find_grid

    if listed:
        _list()
    elif grid is None:
        raise typer.BadParameter("name a grid file or a bundled grid; --list shows these")
    else:
        file = find_grid(grid)
        _compare(grid, file, out or Path("runs") / f"compare-{file.stem}", plugins or [], workers, as_json=as_json)


def _list() -> None:
    from simulations.compare.grid_file import GRIDS, bundled, read_grid

    for name in bundled():
        typer.echo(f"{name:20} {read_grid(GRIDS / f'{name}.toml')[0].description}")


def _compare(grid: str, file: Path, out: Path, plugins: list[Path], workers: int | None, *, as_json: bool) -> None:
    import json
    import os
    import shlex

    from common.interrupts import saying_on_interrupt
    from common.machine import usable_cores
    from common.quiet import silence, silence_libraries

    silence(os.environ)
    silence_libraries()
    command = [
        "fedpeft",
        "compare",
        grid,
        "--out",
        str(out),
        *(word for p in plugins for word in ("--plugins", str(p))),
    ]
    command += [] if workers is None else ["--workers", str(workers)]
    with saying_on_interrupt(f"interrupted; finished runs are kept, go on with: {shlex.join(command)}"):
        from simulations.compare.comparing import as_json as content_of
        from simulations.compare.comparing import compare as play
        from simulations.compare.measuring import register as register_plugins
        from simulations.compare.terminal import print_comparison, tell
        from simulations.search_cost import search_warning

        register_plugins([str(folder) for folder in plugins])
        number = workers or usable_cores()
        found = play(file, out=out, workers=number, plugins=plugins, told=tell, command=command)
        if as_json:
            typer.echo(json.dumps(content_of(found), indent=2, allow_nan=False, ensure_ascii=False))
        else:
            print_comparison(found, out)
        warnings = {search_warning(each.runs.cell.study, len(each.runs.choice.losses)) for each in found.summaries}
        for warning in sorted(filter(None, warnings)):
            typer.echo(f"fedpeft: {warning}", err=True)
