"""`fedpeft continue`: a further phase of a finished study, on rows that came later."""

from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("continue")(continue_)


def continue_(
    run: Annotated[Path, typer.Argument(help="A finished run's folder, or REGISTRY/NAME or REGISTRY/NAME@3.")],
    out: Annotated[Path | None, typer.Option(help="Output folder; a new one under runs/ if not given.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Rows, old ones among them or not; not given: where the study had them.")
    ] = None,
    replay: Annotated[bool, typer.Option("--replay", help="Train on the old training rows again, too.")] = False,
    ewc: Annotated[
        float | None, typer.Option(help="Weight of elastic weight consolidation at the old adapter.")
    ] = None,
    distill: Annotated[float | None, typer.Option(help="Weight of distillation from the old adapter.")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Override federation.rounds.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Override the study's seed.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each training process.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda:0, mps or auto.")] = "cpu",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the study.")
    ] = None,
    comparison: Annotated[bool, typer.Option(help="Also train every site alone and all rows pooled.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the phase in --out.")] = False,
    bundle: Annotated[
        bool, typer.Option("--bundle", help="For real sites: only prepare the phase's bundle in --out.")
    ] = False,
) -> None:
    """Go on with a finished study on new rows: its test patients stay test patients, and forgetting is measured."""
    import sys

    from server.terminal import print_outcome, progress_bars
    from simulations.continuing.continuing import Phase, prepare_phase, run_phase
    from simulations.continuing.wish import Wish

    place = out or _new_folder(run)
    wish = Wish(data, replay, _regulariser(ewc, distill), overrides or [])
    phase = Phase(run, wish, rounds=rounds, seed=seed)
    if bundle:
        made = prepare_phase(phase, place)
        typer.echo(
            f"bundle {place}: {made.digest}; next: fedpeft server sign COORD {place}, and every hospital approves it"
        )
        return
    try:
        with progress_bars(visible=sys.stderr.isatty()) as listener:
            results = run_phase(
                phase, place, threads=threads, device=device, comparison=comparison, resume=resume,
                progress=listener.on_event, done=listener.on_job,
            )  # fmt: skip
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
