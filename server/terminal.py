"""What a person sees while a run goes on: one line of progress, then the table. Quiet when piped."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any  # JSON values

import typer

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID
    from rich.table import Table

    from server.events import Event, SitesAwaited


@dataclass
class Listener:
    """Turns events into progress bars; holds the bars' handles and nothing else."""

    bars: "Bars"
    rounds: "TaskID"
    rivals: "TaskID"

    def on_event(self, event: "Event") -> None:
        """Show one event of the rounds."""
        from server.events import RoundFinished, RoundStarted, RunStarted, SiteAnswered, SitesAwaited

        if isinstance(event, RunStarted):
            self.bars.update(self.rounds, total=event.rounds, completed=event.round, visible=True)
        elif isinstance(event, RoundStarted):
            word = "closing evaluation" if event.kind == "evaluate" else f"round {event.round} of {event.rounds}"
            self.bars.update(self.rounds, description=word)
        elif isinstance(event, SitesAwaited):
            self.bars.update(self.rounds, detail=f"waits for {', '.join(event.reasons)}")
            if not self.bars.disable:
                self.bars.console.print(awaited_line(event), markup=False, highlight=False)
        elif isinstance(event, SiteAnswered):
            loss = event.train.get("loss")
            detail = event.status if loss is None else f"loss {loss:.3f}"
            self.bars.update(self.rounds, detail=f"{event.site}: {event.reason or detail}")
        elif isinstance(event, RoundFinished):
            self.bars.update(self.rounds, completed=event.round, detail=_figures(event.train, event.pooled))

    def on_job(self, name: str, finished: int, of: int) -> None:
        """Show one finished rival."""
        words = {"visible": True, "total": of, "completed": finished, "detail": name}
        self.bars.update(self.rivals, **words)  # type: ignore[arg-type] # rich's fields are free


def awaited_line(event: "SitesAwaited") -> str:
    """Return who is waited for, why, and until when by this machine's clock."""
    until = datetime.fromisoformat(event.until).astimezone()
    named = "; ".join(f"{site}, {reason}" for site, reason in event.reasons.items())
    return f"round {event.round}: waiting for {named}, until {until:%Y-%m-%d %H:%M}"


def _figures(train: Mapping[str, float], validation: Mapping[str, Any]) -> str:
    from common.study_task import metric_infos

    loss = f"loss {train['loss']:.3f}" if "loss" in train else ""
    leading = next(iter(validation), "")
    value = (validation.get(leading) or {}).get("value")
    return loss if value is None else f"{loss}  {metric_infos()[leading].label} before it {value:.3f}"


@contextmanager
def progress_bars(*, visible: bool) -> Iterator[Listener]:
    """Show bars on stderr while the block runs; nothing at all unless `visible`."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}", markup=False),  # may hold words of a site,
    )
    with Progress(*columns, console=Console(stderr=True), disable=not visible, transient=True) as bars:
        rounds = bars.add_task("preparing", total=None, detail="", visible=visible)
        rivals = bars.add_task("comparison", total=None, detail="", visible=False)
        yield Listener(bars, rounds, rivals)


def print_outcome(content: Mapping[str, Any], folder: Path, *, as_json: bool) -> None:
    """Print the comparison as a table, the summary and where everything lies; or results.json and nothing else.

    content: of the results.json in `folder`.
    """
    import json

    from rich.console import Console

    from server.report import continual
    from server.report.summary import summary

    if as_json:
        typer.echo(json.dumps(content, allow_nan=False))  # rich would turn ":heart:" in a text into a sign
        return
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    Console(highlight=False, emoji=False).print(_table(content))
    Console(highlight=False, markup=False, emoji=False).print(" ".join(summary(content)))
    for text in continual.sentences(content):
        console.print(text)
    console.print(f"report   {folder / 'report.html'}")
    console.print(f"adapter  {folder / 'adapter'}")


def _table(content: Mapping[str, Any]) -> "Table":
    from rich.table import Table

    from server.report.terminal import terminal_table

    header, *rows = terminal_table(content)
    table = Table()
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index == 0 else "right", no_wrap=index == 0, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
