"""Two versions of a registry, read and compared; one that gave up its files has its metrics still."""

from collections.abc import Callable
from pathlib import Path

from common.registry.difference import difference, lines_of
from common.registry.reference import Reference
from common.registry.store import Registry


def test_without_files_only_entries_are_compared(make_run: Callable[..., Path], tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    for seed in (1, 2):
        registry.add(make_run(tmp_path / f"run-{seed}", seed, auroc=0.7 + seed / 10))
    one, other = Reference("quick", 1), Reference("quick", 2)
    found = difference(registry, one, other)
    assert found.study == []
    assert found.tensors is not None
    assert set(found.digests) == {"adapter"}

    registry.prune("quick", 1)
    found = difference(registry, one, other)
    assert (found.study, found.tensors) == (None, None)
    assert [round(each.difference or 0, 6) for each in found.metrics] == [0.1, 0.1, 0.1]
    assert any("gave up its files" in line for line in lines_of(found))


def test_an_adapter_alone_is_compared_by_tensors(make_run: Callable[..., Path], tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    registry.add(make_run(tmp_path / "run-1", 1))
    registry.add(make_run(tmp_path / "run-2", 2) / "adapter")
    found = difference(registry, Reference("quick", 1), Reference("quick", 2))
    assert found.metrics == []
    assert any("no metrics" in line for line in lines_of(found))
