"""Whole runs in this process: equal bytes, and nothing global left changed."""

import json
import random
import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.errors import ModelError, UserError
from server.events import Event, RoundFinished
from simulations.builtin_rows.quick import rows as quick_rows
from simulations.results import Results
from simulations.run import run

FAST = ("training.local_epochs=1", "evaluation.resamples=10", "federation.rounds=2")


def adapter(results: Results) -> bytes:
    return (results.adapter / "adapter.safetensors").read_bytes()


@pytest.fixture
def quick(tmp_path: Path) -> Callable[..., Results]:
    """Run `quick` in a folder of the test's own, without comparison."""

    def play(name: str, *overrides: str, compared: bool = False, **options: Any) -> Results:
        return run("quick", out=tmp_path / name, overrides=[*FAST, *overrides], comparison=compared, **options)

    return play


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The adapter that two rounds of `quick` make."""
    out = tmp_path_factory.mktemp("expected") / "out"
    return adapter(run("quick", out=out, overrides=FAST, comparison=False))


def test_a_run_again_has_the_same_bytes_with_or_without_comparison(
    quick: Callable[..., Results], expected: bytes
) -> None:
    assert adapter(quick("again")) == expected
    assert adapter(quick("compared", compared=True)) == expected


def test_another_seed_is_another_adapter(quick: Callable[..., Results], expected: bytes) -> None:
    assert adapter(quick("other", seed=1)) != expected


def test_a_folder_that_held_another_run_before_is_opened_anew(
    quick: Callable[..., Results], expected: bytes, tmp_path: Path
) -> None:
    quick("used", 'federation.sites=["east","north"]')
    shutil.rmtree(tmp_path / "used")
    assert adapter(quick("used")) == expected


def test_the_same_relative_folder_elsewhere_is_another_run(expected: bytes, tmp_path: Path) -> None:
    found = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        with chdir(tmp_path / place):
            sites = ["east", "north", "west"] if place == "b" else ["east", "north"]
            overrides = [*FAST, f"federation.sites={json.dumps(sites)}"]
            found.append(adapter(run("quick", out="out", overrides=overrides, comparison=False)))
    assert found[1] == expected != found[0]


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("\n".join([",".join(rows[0]), *(",".join(f'"{v}"' for v in row.values()) for row in rows)]) + "\n")
    return path


def test_the_order_of_sites_in_the_file_changes_nothing(
    quick: Callable[..., Results], expected: bytes, tmp_path: Path
) -> None:
    """Rows of one site stay in their order; sites come backwards, and mixed."""
    backwards = sorted(quick_rows(), key=lambda row: row["site"], reverse=True)
    by_site = [[row for row in backwards if row["site"] == site] for site in ("west", "east", "north")]
    mixed = [by_site[k].pop(0) for i in range(999) if by_site[k := i % 3]]
    for name, rows in (("backwards", backwards), ("mixed", mixed)):
        assert len(rows) == len(quick_rows())
        path = write_csv(tmp_path / f"{name}.csv", rows)
        assert adapter(quick(name, f"simulation.data={path}")) == expected


def states() -> tuple[Any, ...]:
    return (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate())  # type: ignore[index,union-attr]


def test_threads_and_global_generators_are_as_before(quick: Callable[..., Results]) -> None:
    before, threads = states(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        quick("one", rounds=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert states() == before


def test_global_generators_do_not_matter(quick: Callable[..., Results], expected: bytes) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        assert adapter(quick("seeded")) == expected


def stop_after_round_1(event: Event) -> None:
    if isinstance(event, RoundFinished) and event.round == 1:
        raise KeyboardInterrupt


@pytest.fixture
def stopped(quick: Callable[..., Results], tmp_path: Path) -> Path:
    """A run of own rows that was interrupted after round 1."""
    data = write_csv(tmp_path / "rows.csv", quick_rows())
    with pytest.raises(KeyboardInterrupt):
        quick("stopped", f"simulation.data={data}", progress=stop_after_round_1)
    return data


def test_a_resumed_run_has_the_same_bytes(quick: Callable[..., Results], expected: bytes, stopped: Path) -> None:
    resumed = quick("stopped", f"simulation.data={stopped}", resume=True)
    assert adapter(resumed) == expected
    assert len(resumed.content["rounds"]) == 2


def test_rows_or_a_base_model_that_changed_meanwhile_are_refused(
    quick: Callable[..., Results], stopped: Path, tmp_path: Path
) -> None:
    before = stopped.read_text()
    stopped.write_text(before.replace("fever", "chills", 1))
    with pytest.raises(UserError, match="over other rows: the data file was changed since; restore it"):
        quick("stopped", f"simulation.data={stopped}", resume=True)
    stopped.write_text(before)
    model = tmp_path / "stopped" / "generated" / "tiny-bert" / "model.safetensors"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    with pytest.raises(ModelError, match=r"has digest sha256:[0-9a-f]+, the study expects sha256:"):
        quick("stopped", f"simulation.data={stopped}", resume=True)
