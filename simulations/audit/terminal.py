"""What `fedpeft audit` says in the terminal: what it does on stderr, the table and the verdict on stdout."""

import sys
from pathlib import Path

from server.report.formats import plain
from simulations.audit.findings import PAGE, Audit
from simulations.audit.words import figure, needed, sentences


def tell(doing: str) -> None:
    """Say what is being done."""
    sys.stderr.write(f"{doing}\n")
    sys.stderr.flush()


def print_audit(found: Audit, folder: Path) -> None:
    """Print every check, what must be chance, and where the page is."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 140)
    table = Table(title=f"Leakage audit of {found.subject.study}", title_justify="left")
    for name in ("attack", "where", "figure", "by chance", "threshold", "verdict"):
        table.add_column(name)
    for check in found.checks:
        verdict = f"{check.verdict} ({needed(check)})" if needed(check) else check.verdict
        chance, threshold = plain(check.chance), plain(check.threshold)
        table.add_row(check.label, check.scope, figure(check.metric), chance, threshold, verdict)
    for each in found.sanity:
        word = "as expected" if each.is_as_expected else "not chance"
        table.add_row("Sanity", each.label, figure(each.auc), "0.500", "", word)
    console.print(table)
    for sentence in sentences(found):
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    console.print(f"page: {folder / PAGE}", markup=False, soft_wrap=True)
