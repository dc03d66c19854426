"""`fedpeft tune`: hyper-parameters of a study, searched for in simulation on validation rows only."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(tune)


def tune(
    study: Annotated[str, typer.Argument(help="A study file, or the name of a bundled study (heart, quick, ...).")],
    space: Annotated[Path | None, typer.Option(help="TOML file with a range or choices for each key.")] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="KEY=SPEC", help="LOW..HIGH, LOW..HIGH:log, LOW..HIGH:STEP or [A, B, C]."),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=1, help="How many trials there are to be, those before --resume too.")
    ] = 20,
    out: Annotated[Path | None, typer.Option(help="Output folder; runs/tune-NAME if not given.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the search in --out.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of what is proposed; the study keeps its own.")] = 0,
    objective: Annotated[
        str | None, typer.Option(help="Metric of the task; none: the one by which rounds are chosen.")
    ] = None,
    prune: Annotated[bool, typer.Option(help="End trials that are worse than the median of those before.")] = True,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="S", help="Begin no further trial after so many seconds.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Trials at a time; above 1 their order is by chance.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each training process.")] = 1,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the study.")
    ] = None,
    plugins: Annotated[
        list[Path] | None, typer.Option("--plugins", metavar="DIR", help="Folder of your own aggregation strategies.")
    ] = None,
) -> None:
    """Search for a study's hyper-parameters (any of its keys), with early pruning; the best is a study to simulate.

    For one learning rate for the federation and one for each of its rivals, use fedpeft study tune.
    """
    import os

    from common.interrupts import saying_on_interrupt
    from common.quiet import silence, silence_libraries
    from simulations.tune.optimiser import require_optuna

    silence(os.environ)
    silence_libraries()
    require_optuna()
    place = out or Path("runs") / f"tune-{Path(study).stem}"
    with saying_on_interrupt(f"interrupted; finished trials are kept, go on with: {_again(place)}"):
        from simulations.catalogue import load
        from simulations.compare.measuring import register as register_plugins
        from simulations.tune.searching import Effort, facts_of, search
        from simulations.tune.space import joined, read_parameter, read_space
        from simulations.tune.terminal import print_search, tell, warning

        folders = [str(folder.resolve()) for folder in plugins or []]
        register_plugins(folders)
        chosen = load(study, overrides=overrides or [])
        wanted = joined([*([] if space is None else read_space(space)), *map(read_parameter, parameters or [])])
        facts = facts_of(
            chosen, wanted, seed=seed, objective=objective, prune=prune, threads=threads, plugins=folders
        )  # fmt: skip
        found = search(facts, place, Effort(trials, processes, timeout), resume=resume, told=tell)
        print_search(found, place)
        cost = warning(facts, len(found.trials))
        if cost is not None:
            typer.echo(f"fedpeft: {cost}", err=True)


def _again(place: Path) -> str:
    """The given command again, and --resume."""
    import shlex
    import sys

    words = [word for word in sys.argv[1:] if word != "--resume"]
    if not any(word == "--out" or word.startswith("--out=") for word in words):
        words += ["--out", str(place)]
    return shlex.join(["fedpeft", *words, "--resume"])
