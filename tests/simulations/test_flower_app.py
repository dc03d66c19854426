from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, RecordDict

from common.errors import StudyError
from server.exchange import Clock
from simulations.catalogue import load
from simulations.flower_app import count_nodes, out_of, over_nodes


@dataclass
class Filling:
    """A grid whose nodes come one after the other, as Flower registers them."""

    counts: Iterator[int] = field(default_factory=lambda: iter([0, 2, 3, 3]))

    def get_node_ids(self) -> range:
        return range(next(self.counts))


def context(**config: Any) -> Context:
    return Context(run_id=7, node_id=1, node_config={}, state=RecordDict(), run_config=config)


def test_nodes_are_counted_when_no_more_come() -> None:
    at_once = Clock(now=lambda: 0.0, wait=lambda _: None)
    assert count_nodes(Filling(), at_once) == 3  # type: ignore[arg-type] # the one method that is used


@pytest.mark.parametrize(("nodes", "sites"), [(1, ("east",)), (2, ("east", "north")), (9, ("east", "north", "west"))])
def test_nodes_play_the_first_sites_by_name(nodes: int, sites: tuple[str, ...]) -> None:
    assert over_nodes(load("quick"), nodes).federation.sites == sites


def test_a_chosen_roster_is_what_nodes_are_given() -> None:
    study = load("quick", overrides=['federation.sites=["west","north"]'])
    assert over_nodes(study, 2).federation.sites == ("north", "west")


def partitioned(tmp_path: Path, *overrides: str) -> Any:
    text = (Path(load.__code__.co_filename).parent / "studies" / "quick.toml").read_text()
    path = tmp_path / "study.toml"
    path.write_text(text.replace('site_column = "site"', 'partition = { name = "iid", sites = 5 }'))
    return load(str(path), overrides=overrides)


def test_a_partition_is_into_as_many_sites_as_nodes(tmp_path: Path) -> None:
    study = over_nodes(partitioned(tmp_path), 3)
    assert study.simulation is not None
    assert study.simulation.partition is not None
    assert study.simulation.partition.sites == 3


def test_a_partition_with_names_needs_a_node_for_each(tmp_path: Path) -> None:
    names = 'federation.sites=["a","b","c","d","e"]'
    assert len(over_nodes(partitioned(tmp_path, names), 5).federation.sites) == 5
    with pytest.raises(StudyError, match=r"5 sites.*3 SuperNodes"):
        over_nodes(partitioned(tmp_path, names), 3)


def test_the_folder_is_the_same_wherever_it_is_asked_for(tmp_path: Path) -> None:
    assert out_of(context(out=str(tmp_path))) == tmp_path
    assert out_of(context(out="")) == out_of(context()) == Path("runs/flower-7").absolute()
