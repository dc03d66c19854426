"""What a run left, read for the registry: of `fedpeft simulate`, of a coordinator, or an adapter's folder alone."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # JSON values

from common import receipts
from common.adapter_folder import TENSORS, Exported, read_adapter
from common.errors import UserError
from common.files import digest_file, digest_json
from common.registry.facts import Found
from common.registry.versions import Receipts

RESULTS, ADAPTER, GENERATED = "results.json", "adapter", "generated"
_BEGUN = ("run.json", "state.json", "checkpoint", "bundle")
"""What a run's folder has before it is finished."""


@dataclass(frozen=True)
class Source:
    """Where a run's files are. `results` and `generated` (its generated base model) are None where it has none."""

    adapter: Path
    results: Path | None
    generated: Path | None


def find(run: Path) -> Source:
    """Return the files of a finished run, or of an adapter's folder.

    Raises:
        UserError: there is no adapter: the run is not finished, or it is none.
    """
    if (run / TENSORS).is_file():
        return Source(run, None, _generated(run))
    adapter, results = run / ADAPTER, run / RESULTS
    if not run.is_dir():
        raise UserError(f"{run}: {'a file' if run.exists() else 'nothing is there'}, expected a finished run's folder")
    if results.is_file() and (adapter / TENSORS).is_file():
        return Source(adapter, results, _generated(adapter))
    if any((run / name).exists() for name in _BEGUN) or results.exists() or adapter.exists():
        missing = RESULTS if not results.is_file() else f"{ADAPTER}/{TENSORS}"
        raise UserError(f"{run}: this run is not finished, it has no {missing}; resume it, then add it")
    raise UserError(f"{run} is not a run: expected {RESULTS} and {ADAPTER}/, as `fedpeft simulate --out` leaves them")


def _generated(adapter: Path) -> Path | None:
    """Return the folder of the generated base model, which lies beside its run's adapter; None where it has none."""
    source = read_adapter(adapter).study.base_model.source
    if not source.startswith("generated:"):
        return None
    folder = adapter.resolve().parent / GENERATED / source.removeprefix("generated:")
    return folder if folder.is_dir() else None


def read(source: Source) -> Found:
    """Read the adapter, checked, and what its run says. Raises UserError."""
    exported: Exported = read_adapter(source.adapter)
    if source.results is None:
        return Found(exported, None, None, None)
    home = source.adapter.resolve().parent  # of a run over several seeds: that of the first
    return Found(exported, _results(source.results), _run_name(home), _receipts(home))


def _results(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, Mapping) or found.get("format") != 1:
        raise UserError(
            f"{path} is damaged or of another format than 1; run it again, or write it with the same version"
        )
    return found


def _run_name(home: Path) -> str:
    """Return the run's own name; a coordinator's run has its folder's."""
    try:
        found = json.loads((home / "run.json").read_text(encoding="utf-8"))["run"]
    except (OSError, ValueError, LookupError, TypeError):
        return home.name
    return str(found)


def _receipts(home: Path) -> Receipts | None:
    """Return what vouches for the run: a coordinator's receipts, else the journals of a simulation's sites."""
    log = home / "receipts.jsonl"
    if log.is_file():
        known = [each for each in map(receipts.read_line, _lines(log)) if each is not None]
        return Receipts("receipts", sum(each.seq > 0 for each in known), known[-1].digest) if known else None
    journals = sorted([*(home / "sites").glob("*/journal.jsonl"), *(home / "crowd").glob("*/journal.jsonl")])
    if not journals:
        return None
    head = digest_json({path.parent.name: digest_file(path) for path in journals})
    return Receipts("journals", sum(1 for path in journals for _ in _lines(path)), head)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            yield line.removesuffix(b"\n")
