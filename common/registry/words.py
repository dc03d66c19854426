"""Versions, their differences and their history as lines for people."""

from collections.abc import Iterator, Mapping, Sequence

from common.metrics.types import Metric
from common.registry.comparing import Distance, KeyChange, MetricChange, TensorChange
from common.registry.history import Current, Event
from common.registry.versions import Version

DASH = "-"
LARGEST = 5
"""Layers named in a comparison."""


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines with columns below each other.

    >>> aligned([["a", "b"], ["long", "c"]])
    ['a     b', 'long  c']
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [line.rstrip() for line in lines]


def figure(metric: Metric | None) -> str:
    """Return a metric with its interval, or a dash.

    >>> figure(Metric(0.90556, 31, 0.7686, 0.9851)), figure(None)
    ('0.906 (0.769 to 0.985)', '-')
    """
    if metric is None or metric.value is None:
        return DASH
    between = "" if metric.low is None or metric.high is None else f" ({metric.low:.3f} to {metric.high:.3f})"
    return f"{metric.value:.3f}{between}"


def leading_figure(version: Version) -> str:
    """Return the leading metric of a version: the mean over sites of test rows, else of validation rows."""
    measured = version.metrics
    if measured is None:
        return DASH
    name, label = measured.leading.name, measured.leading.label
    if measured.mean.get(name) is not None:
        return f"test {label} {figure(measured.mean[name])}"
    return f"validation {label} {figure(measured.validation.get(name))}"


def list_lines(versions: Sequence[Version], current: Current, pruned: Sequence[int]) -> list[str]:
    """Return a table of a name's versions."""
    head = ["version", "added", "figure", "run", "parent", ""]
    return aligned([head, *(_row(version, current, pruned) for version in versions)])


def _row(version: Version, current: Current, pruned: Sequence[int]) -> list[str]:
    state = "promoted" if version.number == current.version else "pruned" if version.number in pruned else ""
    parent = DASH if version.parent is None else f"@{version.parent}"
    name = f"{version.name}@{version.number}"
    return [name, version.created[:10], leading_figure(version), version.run or DASH, parent, state]


def show_lines(version: Version, *, is_promoted: bool, is_pruned: bool) -> Iterator[str]:
    """Yield what there is to say of one version."""
    state = ", promoted" if is_promoted else ""
    state += ", its files were pruned" if is_pruned else ""
    yield f"{version.name}@{version.number}, added {version.created}{state}"
    yield from aligned(
        [
            ["study", version.study],
            ["run", f"{version.run or 'none: an adapter alone'}, seed {version.seed}"],
            ["parent", "none" if version.parent is None else f"{version.name}@{version.parent}"],
            ["rounds", "-" if version.rounds is None else f"{version.rounds.played}, kept {version.rounds.kept}"],
            ["privacy", _privacy(version)],
            ["receipts", _receipts(version)],
            *([f"digest of {name}", digest] for name, digest in vars(version.digests).items() if digest is not None),
            ["made with", ", ".join(f"{name} {number}" for name, number in version.versions.items() if number)],
        ]
    )
    yield from _metric_lines(version)


def _privacy(version: Version) -> str:
    said = version.privacy
    return "no guarantee" if not said else ", ".join(f"{name} {value}" for name, value in said.items() if value)


def _receipts(version: Version) -> str:
    found = version.receipts
    return "none" if found is None else f"{found.count} entries of the run's {found.log}, head {found.head}"


def _metric_lines(version: Version) -> Iterator[str]:
    measured = version.metrics
    if measured is None:
        return
    parts: dict[str, Mapping[str, Metric]] = {
        "test, mean over sites": measured.mean,
        "test, pooled": measured.pooled,
        "validation, pooled": measured.validation,
    }
    names = [name for part in parts.values() for name in part]
    rows = [[name, *(figure(part.get(name)) for part in parts.values())] for name in dict.fromkeys(names)]
    yield from aligned([["metric", *parts], *rows])


def metric_lines(changes: Sequence[MetricChange], first: str, second: str) -> list[str]:
    """Return a table of two versions' metrics."""
    rows = [[f"{c.name}, {c.part}", figure(c.first), figure(c.second), _signed(c.difference)] for c in changes]
    return aligned([["metric", first, second, "difference"], *rows])


def _signed(value: float | None) -> str:
    return DASH if value is None else f"{value:+.3f}"


def study_lines(changes: Sequence[KeyChange]) -> list[str]:
    """Return the keys that differ, in short."""
    return aligned([[f"  {each.key}", f"{each.first!s:.60}", "->", f"{each.second!s:.60}"] for each in changes])


def tensor_lines(change: TensorChange) -> Iterator[str]:
    """Yield how far two adapters are apart."""
    yield f"tensors are {_apart(change.whole)} apart; by layer, the largest first:"
    rows = [[f"  {each.name}", _apart(each)] for each in change.layers[:LARGEST]]
    yield from aligned(rows)
    if len(change.layers) > LARGEST:
        yield f"  and {len(change.layers) - LARGEST} more"
    for names, which in ((change.only_first, "first"), (change.only_second, "second")):
        if names:
            yield f"  only the {which} has, in this shape: {', '.join(names[:LARGEST])} ({len(names)} in all)"


def _apart(distance: Distance) -> str:
    relative = "" if distance.relative is None else f" ({100 * distance.relative:.1f} % of the first)"
    return f"{distance.norm:.4g}{relative}"


def event_lines(name: str, events: Sequence[Event]) -> list[str]:
    """Return what happened, the oldest first."""
    rows = []
    for each in events:
        word = "rolled back to" if each.event == "rolled back" else each.event
        what = word if each.version is None else f"{word} {name}@{each.version}"
        rows.append([each.time[:19].replace("T", " "), what, each.reason])
    return aligned(rows)
