"""The command that runs a simulation, or a further phase of one, again: from what its user gave."""

from collections.abc import Sequence
from pathlib import Path

from common import plugins
from common.study import Study
from simulations.continuing.wish import Wish
from simulations.engine.plan import Wanted

STRATEGIES = "server.aggregation"


def command_words(
    given: Study | str | Path,
    study: Study,
    *,
    runtime: object,
    rounds: int | None,
    seeds: int,
    threads: int,
    device: str,
    groups: Wanted,
    overrides: Sequence[str],
    comparison: bool,
    contributions: bool = False,
) -> list[str] | None:
    """Return `["fedpeft", "simulate", ...]`; None where the run was not one that the command line can start.

    `given` is the study as the user named it, `study` what came of it; the other arguments are those of
    `simulations.run.run`.
    """
    if isinstance(given, Study) or not isinstance(runtime, str):
        return None
    words = ["fedpeft", "simulate", str(given), "--seed", str(study.seed), "--threads", str(threads)]
    words += [] if seeds == 1 else ["--seeds", str(seeds)]
    words += [] if rounds is None else ["--rounds", str(rounds)]
    words += [] if device == "cpu" else ["--device", device]
    words += [] if groups.clients is None else ["--group-size", str(groups.clients)]
    words += [] if runtime == "inprocess" else ["--runtime", runtime]
    words += [] if groups.workers is None else ["--workers", str(groups.workers)]
    by_study = study.simulation is None or study.simulation.comparison
    words += [] if comparison == by_study else ["--comparison" if comparison else "--no-comparison"]
    words += ["--contributions"] if contributions else []
    words += [f"--set={text}" for text in overrides]
    return [*words, *_plugin_words(study)]


def _plugin_words(study: Study) -> list[str]:
    """Name the user's own folder, where the study's strategy came from one."""
    name = study.aggregation.name
    if name.replace("_", "-") in plugins.available(STRATEGIES):
        return []
    file = plugins.load(STRATEGIES, name, key="aggregation.name").__file__
    return [] if file is None else ["--plugins", str(Path(file).parent)]


def continue_words(
    named: Path,
    wish: Wish,
    *,
    rounds: int | None,
    seed: int | None,
    threads: int,
    device: str,
    comparison: bool,
) -> list[str]:
    """Return `["fedpeft", "continue", ...]`; the arguments are those of `simulations.continuing`."""
    words = ["fedpeft", "continue", str(named), "--threads", str(threads)]
    words += [] if wish.rows is None else ["--data", str(wish.rows)]
    words += ["--replay"] if wish.replay else []
    if wish.regulariser is not None:
        option = {"ewc": "--ewc", "distillation": "--distill"}[wish.regulariser["kind"]]
        words += [option, repr(wish.regulariser["weight"])]
    words += [] if rounds is None else ["--rounds", str(rounds)]
    words += [] if seed is None else ["--seed", str(seed)]
    words += [] if device == "cpu" else ["--device", device]
    words += ["--comparison"] if comparison else []
    return [*words, *(f"--set={text}" for text in wish.overrides)]
