"""The report of a run: one HTML file that needs no network, no script and no other file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any  # results are JSON

from common.errors import UserError
from common.files import write_bytes
from server.report.formats import counted
from server.report.sections import sections
from server.report.summary import summary
from server.report.values import find, rounds_of, section, site_names

FORMAT = 1
TEMPLATES = Path(__file__).parent / "templates"


def render(results: Mapping[str, Any], curves: Mapping[str, Any] | None = None) -> str:
    """Return the report as HTML.

    Args:
        results: the content of `results.json`; whatever is absent or null is left out or shown as a dash.
        curves: ROC and calibration curves by mode; None takes those in the results.

    Raises:
        UserError: the results are of another format.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    check_format(results)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        title=str(find(results, "study", "name") or "Study"),
        description=str(find(results, "study", "description") or ""),
        facts=_facts(results),
        summary=summary(results),
        sections=sections(results, section(results, "curves") if curves is None else curves),
    )


def check_format(results: Mapping[str, Any]) -> None:
    """Raise UserError unless these are results of the format that is read here."""
    found = results.get("format")
    if found != FORMAT:
        raise UserError(
            f"results have format {found!r}, this fedpeft reads {FORMAT}; was results.json made by another version?"
        )


def _facts(results: Mapping[str, Any]) -> list[str]:
    method = find(results, "study", "peft", "method")
    labels = find(results, "study", "task", "labels")
    facts = [counted(len(site_names(results)), "hospital"), counted(len(rounds_of(results)), "round")]
    facts += [f"method {method}"] if method else []
    facts += [f"labels {', '.join(str(label) for label in labels)}"] if labels else []
    return [*facts, f"seed {results.get('seed')}"]


def read_results(path: Path) -> Mapping[str, Any]:
    """Read `results.json`; a missing file, broken JSON or another format is a UserError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; a finished run has results.json in its folder") from None
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); was the file cut short?") from None
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds a {type(content).__name__}, expected the object that a run writes")
    check_format(content)
    return content


def write_report(results: Mapping[str, Any] | Path, out: Path) -> None:
    """Write the report of `results` (the content, or the path of results.json) to the file `out`, atomically."""
    content = read_results(results) if isinstance(results, Path) else results
    write_bytes(out, render(content).encode("utf-8", errors="replace"))
