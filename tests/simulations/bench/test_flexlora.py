from simulations.bench.flexlora import flexlora_figures, measure


def test_a_round_of_a_few_small_layers_is_measured() -> None:
    found = measure(layers=2, width=256, sites=3, rank=4)
    assert found.update_mb == 2 * 2 * 2 * 256 * 4 * 4 / 2**20
    assert min(found.seconds, found.cpu_seconds, found.least_cpu_seconds) > 0


def test_figures_are_ratios_and_seconds_of_one_measurement() -> None:
    calls = []

    def apart(function, *arguments):
        calls.append((function, arguments))
        return measure(layers=1, width=128, sites=2, rank=2)

    (found,) = flexlora_figures(apart)
    assert calls == [(measure, ())]
    assert set(found) == {
        "flexlora_7b_seconds",
        "flexlora_7b_cpu_seconds",
        "flexlora_7b_cpu_over_products_of_columns",
        "flexlora_7b_peak_over_one_update",
    }
