"""Rounds over stored replies, behind Flower's own grid: the right adapter, and memory that does not grow by more."""

import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from common.metrics.classes import ClassMeasure
from common.state import AdapterSchema, AdapterState
from server.aggregation.fedavg import build
from server.bounded_replies import bounded_replies, reply_bytes
from server.closing import Outcome
from server.job import ServerJob
from server.registered_grid import RegisteredGrid
from server.rounds import run_rounds
from server.state import fresh_state
from simulations.bench.messages import adapter
from simulations.bench.server_memory import Growth, figures_of
from simulations.bench.stored_replies import RUN, STUDY, StoredGrid, StoredReplies, site_update, store_replies
from simulations.inprocess import task_identity


def play(folder: Path, state: AdapterState, public: Mapping[str, str]) -> Outcome:
    """Play one round over the replies in the folder."""
    job = ServerJob(
        study=STUDY,
        schema=AdapterSchema.of(state),
        measure=ClassMeasure(2),
        strategy=build(),
        sites=tuple(public),
        rounds=1,
        seed=0,
        folder=folder / "run",
        deadline_s=60.0,
        only_registered=True,
        keep="best",
        signers=lambda: public,
    )
    replies = StoredReplies(folder / "replies", len(public))
    grid = RegisteredGrid(StoredGrid(replies), lambda: {name.encode(): name for name in public}, poll_s=0.01)
    begin = replace(fresh_state(state, study=STUDY, seed=0), run=RUN)
    try:
        with task_identity(), bounded_replies(reply_bytes(job.schema)):
            return run_rounds(grid, job, begin)
    finally:
        grid.close()


def test_the_adapter_is_the_mean_of_what_the_sites_stored(tmp_path: Path) -> None:
    state = adapter(3, size_bytes=12_000)
    outcome = play(tmp_path, state, store_replies(tmp_path / "replies", state, sites=3, rounds=1))
    assert {site["status"] for site in outcome.rounds[0]["participation"].values()} == {"accepted"}
    for name, array in state.items():
        mean = np.mean([site_update(state, i)[name].astype(np.float64) for i in range(3)], axis=0)
        np.testing.assert_allclose(outcome.adapter[name], array + mean, rtol=1e-6, atol=1e-7)


def peak_in_payloads(folder: Path, sites: int) -> float:
    """Return the most that Python and numpy hold at once beyond the state, in payloads."""
    state = adapter(20, size_bytes=4 * 2**20)
    payload = AdapterSchema.of(state).size_bytes
    public = store_replies(folder / "replies", state, sites=sites, rounds=1)
    tracemalloc.start()
    play(folder, state, public)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / payload


def test_a_further_site_in_flight_adds_at_most_its_reply_and_half_of_one(tmp_path: Path) -> None:
    few, many = peak_in_payloads(tmp_path / "few", 2), peak_in_payloads(tmp_path / "many", 8)
    assert (many - few) / 6 < 1.5
    assert few < 4.5


def test_the_figures_tell_what_a_site_adds_from_what_is_there_with_none() -> None:
    figures = figures_of(Growth(2, arrivals=5.0, folding=4.0), Growth(6, arrivals=11.0, folding=4.5))
    assert figures == {
        "server_app_payloads_per_site_2_sites": 2.5,
        "server_app_payloads_per_site_6_sites": 11 / 6,
        "server_app_payloads_per_further_site": 1.5,
        "server_app_payloads_beside_sites": 2.0,
        "server_app_payloads_while_folding_2_sites": 4.0,
        "server_app_payloads_while_folding_6_sites": 4.5,
    }
    assert Growth(1, arrivals=1.0, folding=4.0).peak_per_site == 4.0
