"""`fedpeft continue`: a further phase of a finished study, on rows that came later."""

from pathlib import Path
from typing import Annotated, Any

import typer

from simulations.commands import Overrides

Named = Annotated[Path, typer.Argument(help="A finished run's folder, or REGISTRY/NAME or REGISTRY/NAME@3.")]
Out = Annotated[Path | None, typer.Option(help="Output folder; a new one under runs/ if not given.")]
Data = Annotated[
    Path | None, typer.Option(help="Rows, old ones among them or not; not given: where the study had them.")
]
Replay = Annotated[bool, typer.Option("--replay", help="Train on the old training rows again, too.")]
Ewc = Annotated[
    float | None, typer.Option(metavar="WEIGHT", help="Hold on to the old adapter: elastic weight consolidation.")
]
Distill = Annotated[
    float | None, typer.Option(metavar="WEIGHT", help="Hold on to what the old adapter says: distillation.")
]
Rounds = Annotated[int | None, typer.Option(min=1, help="Override federation.rounds.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Override the study's seed.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads of each training process.")]
Device = Annotated[str, typer.Option(help="cpu, cuda:0, mps or auto.")]
Comparison = Annotated[bool, typer.Option(help="Also train every site alone and all rows pooled.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the phase in --out.")]
ForSites = Annotated[bool, typer.Option("--bundle", help="For real sites: only prepare the phase's bundle in --out.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("continue")(continue_)


def continue_(
    run: Named,
    out: Out = None,
    data: Data = None,
    replay: Replay = False,
    ewc: Ewc = None,
    distill: Distill = None,
    rounds: Rounds = None,
    seed: Seed = None,
    threads: Threads = 1,
    device: Device = "cpu",
    overrides: Overrides = None,
    comparison: Comparison = False,
    resume: Resume = False,
    bundle: ForSites = False,
) -> None:
    """Go on with a finished study on new rows: its test patients stay test patients, and forgetting is measured."""
    from simulations.continuing.continuing import Phase, prepare_phase
    from simulations.continuing.wish import Wish

    place = out or _new_folder(run)
    phase = Phase(run, Wish(data, replay, _regulariser(ewc, distill), overrides or []), rounds=rounds, seed=seed)
    if not bundle:
        _play(phase, place, threads=threads, device=device, comparison=comparison, resume=resume)
        return
    made = prepare_phase(phase, place)
    typer.echo(f"bundle {place}: {made.digest}; next: fedpeft server sign COORD {place}, and each hospital approves it")


def _play(phase: Any, place: Path, **options: Any) -> None:  # importing its type would bring torch
    import sys

    from server.terminal import print_outcome, progress_bars
    from simulations.continuing.continuing import run_phase

    try:
        with progress_bars(visible=sys.stderr.isatty()) as listener:
            results = run_phase(phase, place, progress=listener.on_event, done=listener.on_job, **options)
    except KeyboardInterrupt:
        typer.echo(f"interrupted; the same command with --out {place} --resume goes on", err=True)
        raise typer.Exit(130) from None
    print_outcome(results.content, results.folder, as_json=False)


def _regulariser(ewc: float | None, distill: float | None) -> dict[str, Any] | None:
    if ewc is not None and distill is not None:
        raise typer.BadParameter("--ewc and --distill are two ways to stay near the old adapter; give one")
    if ewc is not None:
        return {"kind": "ewc", "weight": ewc}
    return None if distill is None else {"kind": "distillation", "weight": distill}


def _new_folder(run: Path) -> Path:
    from datetime import datetime

    return Path("runs") / f"{run.name}-continued-{datetime.now():%Y%m%d-%H%M%S}"
