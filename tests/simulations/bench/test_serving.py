import os

import pytest

from simulations.bench.serving import Throughput, cpu_seconds, measure_serving, serving_figures


def test_the_ratio_is_of_pairs_and_above_one_where_the_service_is_faster() -> None:
    found = Throughput(100, served=[2.0, 4.0, 1.0], bare=[1.0, 4.0, 3.0], served_cpu=[3.0], bare_cpu=[2.0])
    assert found.ratio == 1.0
    (figures,) = serving_figures(lambda _: found)
    assert figures["serve_rows_per_s"] == 50
    assert figures["serve_bare_loop_rows_per_s"] == 100 / 3
    assert figures["serve_cpu_seconds_over_bare_loop"] == 1.5


def test_seconds_of_a_process_are_those_that_it_computed() -> None:
    assert cpu_seconds(os.getpid()) == pytest.approx(sum(os.times()[:2]), abs=0.2)


@pytest.mark.slow
@pytest.mark.processes
def test_a_service_is_measured_over_http() -> None:
    found = measure_serving("quick", rows=40, pairs=1)
    assert len(found.served) == len(found.bare) == 1
    assert min(*found.served, *found.bare) > 0
