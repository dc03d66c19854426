"""`fedpeft simulate`, `fedpeft study ...` and `fedpeft report`: the command line of simulations."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

StudyArgument = Annotated[str, typer.Argument(help="A study file, or the name of a bundled study (heart, quick, ...).")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key, such as training.batch_size=8.")
]
PluginFolders = Annotated[
    list[Path] | None, typer.Option("--plugins", metavar="DIR", help="Folder of your own aggregation strategies.")
]

Workers = Annotated[int | None, typer.Option(min=1, help="Threads, or processes of Ray, that train side by side.")]
Comparison = Annotated[
    bool | None,
    typer.Option(
        "--comparison/--no-comparison",
        help="Also train every site alone and all rows pooled.",
        show_default="as the study says",
    ),
]
DashboardPort = Annotated[int | None, typer.Option(min=0, max=65535, help="Show it there; 0: any that is free.")]
Contributions = Annotated[
    bool, typer.Option("--contributions", help="Also run the federation without each hospital in turn.")
]
Threads = Annotated[int, typer.Option(min=1, help="Threads of each training process; part of what fixes the bytes.")]
GroupSize = Annotated[
    int | None, typer.Option(min=1, help="Clients trained in one batch, at most; 1: one after the other.")
]
Tracks = Annotated[
    list[str] | None,
    typer.Option(
        "--track", metavar="KIND[=TARGET]", help="Also track to mlflow=URI, tensorboard[=DIR] or csv; may be repeated."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(simulate)
    app.command()(report)
    study = typer.Typer(
        help="Look at a study, check it, prepare it, or write one for your own rows.", no_args_is_help=True
    )
    study.command("list")(list_studies)
    study.command()(show)
    study.command()(check)
    study.command()(prepare)
    study.command()(init)
    study.command()(tune)
    app.add_typer(study, name="study")


def simulate(
    study: StudyArgument,
    out: Annotated[Path | None, typer.Option(help="Output folder; a new one under runs/ if not given.")] = None,
    runtime: Annotated[str, typer.Option(help="inprocess, or ray (many cores, GPUs, machines).")] = "inprocess",
    rounds: Annotated[int | None, typer.Option(min=1, help="Override federation.rounds.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Override the study's seed.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Repeat over so many seeds and splits.")] = 1,
    threads: Threads = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda:0, mps or auto.")] = "cpu",
    workers: Workers = None,
    group_size: GroupSize = None,
    overrides: Overrides = None,
    plugins: PluginFolders = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    comparison: Comparison = None,
    track: Tracks = None,
    contributions: Contributions = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results.json on stdout instead of a table.")] = False,
    dashboard: Annotated[bool, typer.Option("--dashboard", help="Show the run in a browser while it goes on.")] = False,
    dashboard_port: DashboardPort = None,
) -> None:
    """Run a federation over virtual hospitals on this machine, and compare it with its rivals."""
    place = out or _new_folder(study)
    try:
        from server.terminal import print_outcome, progress_bars
        from simulations.run import run

        _register(plugins)
        bars = progress_bars(visible=typer.get_text_stream("stderr").isatty() and not as_json)
        with _shown(place, dashboard, dashboard_port), bars as listener:
            results = run(
                study, out=place, runtime=runtime, rounds=rounds, seed=seed, seeds=seeds, threads=threads,
                device=device, workers=workers, group_size=group_size, overrides=overrides or [], resume=resume,
                comparison=comparison, track=track or [], contributions=contributions, progress=listener.on_event,
                done=listener.on_job,
            )  # fmt: skip
    except KeyboardInterrupt:
        typer.echo(f"interrupted; go on with: {_command_to_resume(study, place, overrides)}", err=True)
        raise typer.Exit(130) from None
    print_outcome(results.content, results.folder, as_json=as_json)


def _shown(folder: Path, wanted: bool, chosen_port: int | None) -> "AbstractContextManager[None]":
    """The dashboard of a run in this process, which ends with the command; nothing where none is wanted."""
    from contextlib import nullcontext
    from functools import partial

    if not wanted and chosen_port is None:
        return nullcontext()
    port = chosen_port or 0

    from server.dashboard.folders import Source
    from server.dashboard.serving import showing

    return showing(Source(folder, "simulated"), port=port, say=partial(typer.echo, err=True))


def _register(folders: list[Path] | None) -> None:
    """Make the strategies in the user's own folders known, before a study that names one is read."""
    from common.plugins import register_strategies

    register_strategies(folders or [])


def _new_folder(study: str) -> Path:
    from datetime import datetime

    return Path("runs") / f"{Path(study).stem}-{datetime.now():%Y%m%d-%H%M%S}"


def _command_to_resume(study: str, out: Path, overrides: list[str] | None) -> str:
    """The given options again, and --resume: what the shell was told is what it has to be told."""
    import shlex
    import sys

    given = sys.argv[1:] or ["simulate", study, *[f"--set={text}" for text in overrides or []]]
    words = [word for word in given if word != "--resume"]
    if not any(word == "--out" or word.startswith("--out=") for word in words):
        words += ["--out", str(out)]
    return shlex.join(["fedpeft", *words, "--resume"])


def report(folder: Annotated[Path, typer.Argument(help="The folder of a finished run.")]) -> None:
    """Write report.html, evidence.json and the model card of a finished run again, and print its table."""
    from server.model_card import rewrite_card
    from server.report.render import write_report
    from server.terminal import print_outcome
    from simulations.results import read_results

    results = read_results(folder)
    write_report(results.content, folder / "report.html")
    rewrite_card(results.content, results.adapter)
    print_outcome(results.content, results.folder, as_json=False)


def list_studies() -> None:
    """List the bundled studies."""
    from simulations.catalogue import bundled, load

    for name in bundled():
        typer.echo(f"{name:16} {load(name).description}")


def show(study: StudyArgument, overrides: Overrides = None, plugins: PluginFolders = None) -> None:
    """Print a study with every default filled in, as JSON, and its digest."""
    from simulations.catalogue import load

    _register(plugins)
    found = load(study, overrides=overrides or [])
    typer.echo(found.model_dump_json(indent=2))
    typer.echo(f"digest {found.digest}", err=True)


def check(study: StudyArgument, overrides: Overrides = None, plugins: PluginFolders = None) -> None:
    """Check a study, its rows and its base model; say what each site has."""
    from simulations.preview import describe

    _register(plugins)
    for line in describe(study, overrides or []):
        typer.echo(line)


def prepare(
    study: StudyArgument,
    out: Annotated[Path, typer.Option(help="Folder for the bundle.")],
    rows: Annotated[
        Path | None, typer.Option(help="Also write each site's own rows there, to try real sites on one machine.")
    ] = None,
    overrides: Overrides = None,
    plugins: PluginFolders = None,
) -> None:
    """Lock a study and write its bundle: what server and sites read."""
    from simulations.preview import prepare_bundle

    _register(plugins)
    bundle = prepare_bundle(study, out, overrides or [], rows=rows)
    size = bundle.schema.shared.size_bytes
    typer.echo(f"bundle {out}: {bundle.schema.size:,} trainable numbers, {size:,} bytes per message, {bundle.digest}")


def init(
    rows: Annotated[Path, typer.Argument(help="Your rows: CSV, TSV or Parquet.")],
    target: Annotated[str, typer.Option(help="The column to predict.")],
    site_column: Annotated[str, typer.Option(help="The column with each row's hospital.")],
    patient_id: Annotated[str | None, typer.Option(help="The column with the patient; none: each row is one.")] = None,
    task: Annotated[
        str | None, typer.Option(help="A kind that `fedpeft tasks` lists; none: one label for each text or image.")
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(min=0.01, help="Hide each patient, at this epsilon; settings are chosen to suit it.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The study file to write.")] = Path("study.toml"),
) -> None:
    """Write a commented study for your own rows, ready to run."""
    import shlex

    from simulations.preview import write_template

    write_template(rows, out, target=target, site_column=site_column, patient_id=patient_id, task=task, epsilon=epsilon)
    typer.echo(f"wrote {out}; look at it, then: {shlex.join(['fedpeft', 'simulate', str(out)])}")


def tune(
    study: StudyArgument,
    rates: Annotated[str, typer.Option(help="Learning rates to try, separated by commas.")] = "0.001,0.003,0.01,0.03",
    threads: Annotated[int, typer.Option(min=1, help="Threads of each training process.")] = 1,
    overrides: Overrides = None,
    plugins: PluginFolders = None,
) -> None:
    """Choose a learning rate for the federation and for each rival, on validation rows only.

    For other keys than the learning rate, and many trials, use fedpeft tune.
    """
    from tempfile import TemporaryDirectory

    from common.errors import UserError
    from simulations.catalogue import load
    from simulations.search_cost import search_warning
    from simulations.tuning import Trial, as_toml, best_rates, try_rates

    def tell(trial: Trial) -> None:
        losses = ", ".join(f"{name} {value:.4f}" for name, value in trial.loss.items())
        typer.echo(f"learning rate {trial.learning_rate:g}: validation log loss {losses}", err=True)

    try:
        values = [float(text) for text in rates.split(",")]
    except ValueError:
        raise UserError(f"--rates {rates!r}: expected numbers separated by commas, such as 0.003,0.01") from None
    _register(plugins)
    chosen = load(study, overrides=overrides or [])
    with TemporaryDirectory() as scratch:
        trials = try_rates(chosen, values, scratch=Path(scratch), threads=threads, done=tell)
    typer.echo(as_toml(best_rates(trials)))
    warning = search_warning(chosen, len(values))
    if warning is not None:
        typer.echo(f"fedpeft: {warning}", err=True)
