"""The report of a run: one HTML file that needs no network, no script and no other file."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any  # results are JSON

from common.files import write_bytes
from server.outcome_json import check_format
from server.report.diagnostics_csv import CSV, write_diagnostics
from server.report.evidence_file import FILE, write_evidence
from server.report.formats import counted
from server.report.layout import Section
from server.report.sections import sections
from server.report.summary import summary
from server.report.values import find, rounds_of, section, site_names

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATES = Path(__file__).parent / "templates"


def render(results: Mapping[str, Any], curves: Mapping[str, Any] | None = None) -> str:
    """Return the report as HTML.

    Args:
        results: the content of `results.json`; whatever is absent or null is left out or shown as a dash.
        curves: ROC and calibration curves by mode; None takes those in the results.

    Raises:
        UserError: the results are of another format.
    """
    check_format(results)
    return render_page(
        title=str(find(results, "study", "name") or "Study"),
        description=str(find(results, "study", "description") or ""),
        facts=_facts(results),
        summary=summary(results),
        sections=sections(results, section(results, "curves") if curves is None else curves),
    )


def render_page(
    *, title: str, description: str, facts: Sequence[str], summary: Sequence[str], sections: Sequence[Section]
) -> str:
    """Return a page of our look as HTML; the first sentence of `summary` is the one in bold."""
    return _template().render(title=title, description=description, facts=facts, summary=summary, sections=sections)


@cache  # compiled once: a comparison, a search and a coordinator write many pages
def _template() -> "Template":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


def _facts(results: Mapping[str, Any]) -> list[str]:
    method = find(results, "study", "peft", "method")
    labels = find(results, "study", "task", "labels")
    facts = [counted(len(site_names(results)), "hospital"), counted(len(rounds_of(results)), "round")]
    facts += [f"method {method}"] if method else []
    facts += [f"labels {', '.join(str(label) for label in labels)}"] if labels else []
    return [*facts, f"seed {results.get('seed')}"]


def write_report(results: Mapping[str, Any], out: Path) -> None:
    """Write the report of `results`, the content of `results.json`, to `out`, and beside it
    `evidence.json` and `diagnostics.csv`.
    """
    write_diagnostics(results, out.with_name(CSV))
    write_evidence(results, out.with_name(FILE))
    write_bytes(out, render(results).encode("utf-8", errors="replace"))
