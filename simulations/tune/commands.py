"""`fedpeft tune`: hyper-parameters of a study, searched for in simulation on validation rows only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any  # options by name

import typer

if TYPE_CHECKING:
    from simulations.tune.facts import Facts
    from simulations.tune.searching import Effort

StudyArgument = Annotated[str, typer.Argument(help="A study file, or the name of a bundled study (heart, quick, ...).")]
SpaceFile = Annotated[Path | None, typer.Option(help="TOML file with a range or choices for each key.")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="KEY=SPEC", help="LOW..HIGH, LOW..HIGH:log, LOW..HIGH:STEP or [A, B, C]."),
]
Objective = Annotated[str | None, typer.Option(help="Metric of the task; none: the one by which rounds are chosen.")]
Timeout = Annotated[
    float | None, typer.Option(min=1, metavar="S", help="Begin no further trial after so many seconds.")
]
Processes = Annotated[int, typer.Option(min=1, help="Trials at a time; above 1 their order is by chance.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the study.")]
PluginFolders = Annotated[
    list[Path] | None, typer.Option("--plugins", metavar="DIR", help="Folder of your own aggregation strategies.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(tune)


def tune(
    study: StudyArgument,
    space: SpaceFile = None,
    parameters: Parameters = None,
    trials: Annotated[int, typer.Option(min=1, help="How many there are to be, those before --resume too.")] = 20,
    out: Annotated[Path | None, typer.Option(help="Output folder; runs/tune-NAME if not given.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the search in --out.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of what is proposed; the study keeps its own.")] = 0,
    objective: Objective = None,
    prune: Annotated[bool, typer.Option(help="End trials that are worse than the median of those before.")] = True,
    timeout: Timeout = None,
    processes: Processes = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each training process.")] = 1,
    overrides: Overrides = None,
    plugins: PluginFolders = None,
) -> None:
    """Search for a study's hyper-parameters (any of its keys), with early pruning; the best is a study to simulate.

    For one learning rate for the federation and one for each of its rivals, use fedpeft study tune.
    """
    from common.interrupts import saying_on_interrupt
    from simulations.tune.searching import Effort

    _prepare(plugins or [])
    place = out or Path("runs") / f"tune-{Path(study).stem}"
    wanted = {"seed": seed, "objective": objective, "prune": prune, "threads": threads}
    with saying_on_interrupt(f"interrupted; finished trials are kept, go on with: {_again(place)}"):
        facts = _facts(study, overrides or [], space, parameters or [], plugins or [], wanted)
        _search(facts, place, Effort(trials, processes, timeout), resume=resume)


def _prepare(plugins: list[Path]) -> None:
    """Quieten the libraries, and make the strategies in the user's own folders known."""
    import os

    from common.quiet import silence, silence_libraries
    from simulations.tune.optimiser import require_optuna

    silence(os.environ)
    silence_libraries()
    require_optuna()
    from simulations.compare.measuring import register as register_plugins

    register_plugins([str(folder.resolve()) for folder in plugins])


def _facts(
    study: str, overrides: list[str], space: Path | None, texts: list[str], plugins: list[Path], wanted: dict[str, Any]
) -> Facts:
    """Return what fixes the search. Raises UserError."""
    from simulations.catalogue import load
    from simulations.tune.searching import facts_of
    from simulations.tune.space import joined, read_parameter, read_space

    chosen = load(study, overrides=overrides)
    parameters = joined([*([] if space is None else read_space(space)), *map(read_parameter, texts)])
    return facts_of(chosen, parameters, plugins=[str(folder.resolve()) for folder in plugins], **wanted)


def _search(facts: Facts, place: Path, effort: Effort, *, resume: bool) -> None:
    from simulations.search_cost import search_warning
    from simulations.tune.searching import search
    from simulations.tune.terminal import print_search, tell

    found = search(facts, place, effort, resume=resume, told=tell)
    print_search(found, place)
    cost = search_warning(facts.base, len(found.trials))
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
