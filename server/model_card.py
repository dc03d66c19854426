"""The model card (Mitchell et al. 2019, https://arxiv.org/abs/1810.03993) of an exported adapter: its README.md."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any  # results are JSON

from common.files import write_bytes
from common.usage import Usage, usage_of
from server.markdown import code_span, escaped, fenced, markdown_table, paragraph
from server.report import comparison, facts
from server.report.evidence import evidence_tables
from server.report.formats import count, counted
from server.report.layout import Cell, Table, table
from server.report.lead import labels_of, lead_of
from server.report.limits import limits
from server.report.modes import present_modes
from server.report.provenance import provenance_tables
from server.report.rounds import training_rows
from server.report.summary import summary
from server.report.values import estimate, find, number, rounds_of, section, site_names
from server.report.weakest import sentences

USE = """\
For research on the task below, on text written by the same template. **Not a medical device**: it was not tested \
prospectively, has no regulatory clearance, and must not decide or support the care of a patient. The numbers below \
hold for rows like those of the hospitals named here; elsewhere they must be measured again, calibration and subgroups \
included."""

LICENCE = """\
No licence is stated for this adapter: whoever publishes it chooses one, within what the hospitals agreed on. The base \
model is not part of it and keeps its own licence."""

PREDICT = "fedpeft predict --adapter path/to/this-folder{} --data rows.csv --out predictions.csv"
OWN_FOLDER = " --private path/to/own-folder"
HEAD_FILES = {"shared": 'f"{ADAPTER}/head.safetensors"', "private": '"path/to/private.safetensors"'}


def render_card(results: Mapping[str, Any]) -> str:
    """Return the model card of a run's adapter as Markdown with YAML front matter; what is absent is left out."""
    name = str(find(results, "study", "name") or "adapter")
    description = str(find(results, "study", "description") or "")
    parts = [
        front_matter(results),
        f"# {escaped(name)}: {escaped(_method(results))} adapter",
        paragraph(description),
        _trained_on(results),
        *("## Intended use and limits", USE, _warning(results), paragraph(facts.privacy_statement(results)), LICENCE),
        *("## Results", paragraph(" ".join(summary(results))), *_result_tables(results)),
        *_evidence_parts(results),
        *("## Data", _data_text(results), markdown_table(data_table(results))),
        *("## How to use it", _how_to_use(results)),
        *("## Facts", *(markdown_table(found) for found in _fact_tables(results))),
        "The study as it ran is in `fedpeft.json`, next to this file.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _evidence_parts(results: Mapping[str, Any]) -> list[str]:
    """Return where it is weakest, the tables of the evidence, and the known limits."""
    tables = [markdown_table(found) for found in evidence_tables(results)]
    points = "\n".join(f"- {escaped(text)}" for text in limits(results))
    return [paragraph(" ".join(sentences(results))), *tables, "## Known limits", points]


def rewrite_card(results: Mapping[str, Any], adapter: Path) -> None:
    """Write the card of an exported adapter again, where its folder is there."""
    if adapter.is_dir():
        write_bytes(adapter / "README.md", render_card(results).encode())


def front_matter(results: Mapping[str, Any]) -> str:
    """Return the YAML block that Hugging Face tools read. Values are JSON strings, which YAML reads alike."""
    usage = _usage(results)
    lines = ["library_name: peft"] if _is_peft(results) else []
    lines += [] if usage is None else [f"pipeline_tag: {json.dumps(usage.pipeline_tag)}"]
    lines += ["license: other", "license_name: not-stated"]
    source = str(find(results, "study", "base_model", "source") or "")
    if source.startswith("hub:"):
        identifier, _, revision = source.removeprefix("hub:").partition("@")
        lines += [f"base_model: {json.dumps(identifier)}", f"base_model_revision: {json.dumps(revision)}"]
    digest = _base_digest(results)
    lines += [f"base_model_digest: {json.dumps(digest)}"] if digest else []
    tags = ["federated-learning", "fedpeft", "peft", _method(results)]
    return "\n".join(["---", *lines, "tags:", *(f"  - {json.dumps(tag)}" for tag in dict.fromkeys(tags)), "---"])


def _method(results: Mapping[str, Any]) -> str:
    return str(find(results, "study", "peft", "method") or "PEFT")


def _base_digest(results: Mapping[str, Any]) -> str | None:
    found = find(results, "digests", "base_model") or find(results, "study", "base_model", "digest")
    return None if found is None else str(found)


def _trained_on(results: Mapping[str, Any]) -> str:
    sites, entries = site_names(results), rounds_of(results)
    rows = [training_rows(entries, site) for site in sites]
    known = [value for value in rows if value is not None]
    start = f"Trained on {count(sum(known))} rows at " if known else "Trained at "
    unknown = "" if len(known) == len(sites) else f"; {len(sites) - len(known)} of them had no update accepted"
    where = f"{counted(len(sites), 'hospital')} in {counted(len(entries), 'round')}"
    return f"{start}{where}, without moving the rows{unknown}."


def _result_tables(results: Mapping[str, Any]) -> list[str]:
    compared, sites = section(results, "comparison"), site_names(results)
    if not present_modes(compared):
        return []
    lead = lead_of(results)
    found = [comparison.modes_table(compared, sites, lead), comparison.benefit_table(compared, sites, lead)]
    metrics = comparison.metrics_table(compared, "pooled", labels_of(results), lead)
    found += [metrics, comparison.seeds_table(compared, lead)]
    return [markdown_table(item) for item in found if item is not None]


def data_table(results: Mapping[str, Any]) -> Table:
    """Rows that each hospital trained on, and rows behind its test metric."""
    entries, sites, lead = rounds_of(results), site_names(results), lead_of(results)
    tests = {site: estimate(results, "comparison", "federated", "sites", site, lead.name).n for site in sites}
    rows = [[Cell(site), Cell(count(training_rows(entries, site))), Cell(count(tests[site]))] for site in sites]
    return table("Rows per hospital", ["Hospital", "Training rows", "Test rows"], rows)


def _data_text(results: Mapping[str, Any]) -> str:
    target, labels = find(results, "study", "task", "target"), find(results, "study", "task", "labels") or ()
    template = find(results, "study", "data", "template")
    lines = [escaped(f"Target: {target}{_listed_labels(labels)}.")]
    if template:
        lines += ["Rows become text by this template, missing values left out:", fenced(str(template))]
    return "\n\n".join(lines)


def _listed_labels(labels: Sequence[object]) -> str:
    return f"; labels in class order: {', '.join(str(item) for item in labels)}" if labels else ""


def _how_to_use(results: Mapping[str, Any]) -> str:
    private = _private(results)
    held = (
        f"Tensors named {escaped(', '.join(private))} stay private at each hospital and are not in this folder; a "
        "hospital has its own in a file `private.safetensors`."
    )
    command = fenced(PREDICT.format(OWN_FOLDER if private else ""), language="sh")
    parts = [held] if private else []
    return "\n\n".join([*parts, "With fedpeft:", command, *_without_fedpeft(results)])


def _private(results: Mapping[str, Any]) -> list[str]:
    return [str(pattern) for pattern in find(results, "study", "peft", "private") or ()]


def _without_fedpeft(results: Mapping[str, Any]) -> list[str]:
    usage, groups = _usage(results), find(results, "export", "head") or ["shared"]
    if usage is None:
        return []
    if not _is_peft(results):
        return ["peft alone cannot load this folder: what it would need is not all here, or of a method it lacks."]
    digest = _base_digest(results)
    fits = f" whose manifest has the digest {code_span(digest)}" if digest else ""
    paths = "three paths at the top, the last one to a hospital's own head" if "private" in groups else "two paths"
    text = (
        f"Without it: with the base model{fits}, plain torch, safetensors, peft and transformers are enough. "
        f"Set the {paths}:"
    )
    max_length = int(number(results, "study", "task", "max_length") or 128)
    code = usage.code(max_length=max_length, head_files=[file for group, file in HEAD_FILES.items() if group in groups])
    return [text, fenced(code, language="python")]


def _warning(results: Mapping[str, Any]) -> str:
    usage = _usage(results)
    return "" if usage is None else usage.warning


def _usage(results: Mapping[str, Any]) -> Usage | None:
    kind = find(results, "study", "task", "kind")
    return None if kind is None else usage_of(str(kind))


def _is_peft(results: Mapping[str, Any]) -> bool:
    """Whether the folder is one that peft loads; so it is unless the run recorded that it is not."""
    return find(results, "export", "peft") is not False


def _fact_tables(results: Mapping[str, Any]) -> list[Table]:
    return [*provenance_tables(results), facts.parameters_table(results), *facts.recorded_tables(results)]
