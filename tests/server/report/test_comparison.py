from server.report.comparison import (
    benefit_table,
    matrix_table,
    metrics_table,
    modes_table,
    seeds_table,
)
from server.report.lead import labels_of
from server.report.modes import MODES
from server.report.values import estimate, site_names


def cell_value(cell):
    return None if cell.text == "\N{EN DASH}" else float(cell.text.replace("\N{MINUS SIGN}", "-"))


def test_the_table_of_modes_has_each_number_of_the_results_at_its_place(results):
    compared, sites = results["comparison"], site_names(results)
    table = modes_table(compared, sites)
    assert [row[0].text for row in table.rows] == [mode.name for mode in MODES]
    for mode, row in zip(MODES, table.rows, strict=True):
        for column, cell in zip(table.header[1:], row[1:], strict=True):
            place = {"Mean over hospitals": ("mean",), "Pooled rows": ("pooled",)}.get(column, ("sites", column))
            value = estimate(compared, *mode.path, *place, "auroc").value
            assert cell_value(cell) == (None if value is None else float(f"{value:.3f}"))
            assert value is not None or cell.note


def test_the_benefit_is_the_difference_of_the_two_columns_before_it(results):
    table = benefit_table(results["comparison"], site_names(results))
    for _, own, joint, benefit, rows, _ in table.rows:
        if cell_value(benefit) is not None:
            assert abs(cell_value(joint) - cell_value(own) - cell_value(benefit)) < 0.0021
        assert int(rows.text) > 0
    words = [row[-1].text.split(" ", 1)[-1] for row in table.rows]
    assert words == ["no clear difference", "no clear difference", "measured", "better"]


def test_the_matrix_has_rows_trained_and_columns_scored(results):
    sites = site_names(results)
    matrix = results["comparison"]["local"]["matrix"]
    matrix["Cleveland"]["Long-Beach"]["auroc"]["value"] = 0.611
    table = matrix_table(results["comparison"], sites)
    assert table.rows[sites.index("Cleveland")][1 + sites.index("Long-Beach")].text == "0.611"
    assert table.rows[sites.index("Long-Beach")][1 + sites.index("Cleveland")].text == "0.780"


def test_unknown_metrics_come_last_and_a_table_of_auroc_alone_is_left_out(results):
    results["comparison"]["central"]["pooled"]["kappa"] = {"value": 0.5, "n": 10}
    assert metrics_table(results["comparison"], "pooled", labels_of(results)).header[-1] == "kappa"
    assert metrics_table(results["comparison"], "mean", labels_of(results)) is None


def test_what_was_not_measured_has_no_table(results):
    compared = {"federated": results["comparison"]["federated"], "local": {"sites": {}, "matrix": None}}
    assert matrix_table(compared, ["a"]) is None
    assert benefit_table(compared, ["a"]) is None
    assert seeds_table(compared) is None
    assert len(modes_table(compared, site_names(results)).rows) == 2


def test_differences_over_seeds_have_signs(results):
    results["comparison"]["over_seeds"] = {
        "federated": {"mean": {"auroc": {"value": 0.8}}},
        "federated_minus_local": {"mean": {"auroc": {"value": 0.04, "low": 0.01, "high": 0.07}}},
    }
    table = seeds_table(results["comparison"])
    assert [row[1].text for row in table.rows] == ["0.800", "+0.040"]
