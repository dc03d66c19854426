"""`fedpeft registry diff`: what is different between two versions of a registry."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any  # JSON values

from common.adapter_folder import read_adapter
from common.registry.comparing import (
    KeyChange,
    MetricChange,
    TensorChange,
    metric_changes,
    study_changes,
    tensor_change,
)
from common.registry.reference import Reference
from common.registry.store import Registry
from common.registry.versions import Version
from common.registry.words import aligned, metric_lines, study_lines, tensor_lines


@dataclass(frozen=True)
class Difference:
    """Two versions and what they differ in; study keys and tensors are None where one gave up its files."""

    first: Version
    second: Version
    metrics: list[MetricChange]
    study: list[KeyChange] | None
    tensors: TensorChange | None

    @property
    def digests(self) -> dict[str, tuple[str | None, str | None]]:
        """Digests that differ, by what they are of."""
        pairs = {name: (digest, vars(self.second.digests)[name]) for name, digest in vars(self.first.digests).items()}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def to_json(self) -> dict[str, Any]:
        """Return everything for a machine."""
        return {
            "first": f"{self.first.name}@{self.first.number}",
            "second": f"{self.second.name}@{self.second.number}",
            "metrics": [asdict(each) for each in self.metrics],
            "study": None if self.study is None else [asdict(each) for each in self.study],
            "tensors": None if self.tensors is None else asdict(self.tensors),
            "digests": {name: list(pair) for name, pair in self.digests.items()},
        }


def difference(registry: Registry, first: Reference, second: Reference) -> Difference:
    """Compare two versions. Raises UserError: one is not there, or damaged."""
    one, other = (registry.version(each.name, each.number or 0) for each in (first, second))
    pruned = any(registry.is_pruned(each.name, each.number or 0) for each in (first, second))
    read = [] if pruned else [read_adapter(registry.adapter(each.name, each.number or 0)) for each in (first, second)]
    studies = [each.study.model_dump(mode="json") for each in read]
    return Difference(
        one,
        other,
        _metrics(one, other),
        study_changes(*studies) if studies else None,
        tensor_change(read[0].shared, read[1].shared) if read else None,
    )


def _metrics(one: Version, other: Version) -> list[MetricChange]:
    if one.metrics is None or other.metrics is None:
        return []
    return [
        *metric_changes("test mean", one.metrics.mean, other.metrics.mean),
        *metric_changes("test pooled", one.metrics.pooled, other.metrics.pooled),
        *metric_changes("validation pooled", one.metrics.validation, other.metrics.validation),
    ]


def lines_of(found: Difference) -> Iterator[str]:
    """Yield the same for people."""
    if found.metrics:
        yield from metric_lines(found.metrics, *(f"{each.name}@{each.number}" for each in (found.first, found.second)))
        yield "Intervals are each version's own; whether a difference is more than chance, paired scores would say."
    else:
        yield "one of the two has no metrics: it was added without a run's results"
    if found.study is None or found.tensors is None:
        yield "one of the two gave up its files, so that studies and tensors are not compared"
    else:
        yield f"keys of the studies that differ: {len(found.study)}"
        yield from study_lines(found.study)
        yield from tensor_lines(found.tensors)
    differ = [[f"  {name}", pair[0] or "-", "->", pair[1] or "-"] for name, pair in found.digests.items()]
    yield f"digests that differ: {len(differ)} of {len(vars(found.first.digests))}"
    yield from aligned(differ)
