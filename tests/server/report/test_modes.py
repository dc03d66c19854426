from server.report.modes import MODES, curve_name, present_modes
from server.report.values import section


def test_each_mode_has_names_and_a_place_of_its_own():
    for values in zip(*[(mode.path, mode.key, mode.short, mode.name) for mode in MODES], strict=True):
        assert len(set(values)) == len(MODES)


def test_modes_are_present_where_the_results_have_them(results):
    compared = results["comparison"]
    assert present_modes(compared) == list(MODES)
    compared["logistic"], compared["personalised"] = None, {}
    assert [mode.key for mode in present_modes(compared)] == ["federated", "local", "central"]


def test_every_curve_of_a_run_is_of_a_known_mode(results):
    keys = {mode.key for mode in MODES}
    assert set(results["curves"]) <= keys
    assert all(section(results["comparison"], *key.split("/")) for key in results["curves"])
    assert {curve_name(key) for key in keys}.isdisjoint(keys)
