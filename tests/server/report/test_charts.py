import re

import numpy as np
import pytest

from server.report import charts
from server.report.ink import SERIES
from server.report.values import site_names


def dots(svg, role):
    """Return the centres of the markers drawn with a role's colour."""
    found = re.findall(r'<use [^>]*?x="([\d.]+)" y="([\d.]+)"[^>]*style="([^"]*)"', svg)
    return np.array([(float(x), float(y)) for x, y, style in found if f"stroke: var(--{role})" in style])


def test_the_dots_of_the_benefit_stand_where_their_values_say():
    values = {"a": -0.05, "b": 0.02, "c": 0.11}
    benefit = {site: {"value": v, "low": v - 0.01, "high": v + 0.01, "n": 9} for site, v in values.items()}
    svg = charts.benefit_chart({"benefit": benefit}, list(values)).svg
    worse, better = dots(svg, "worse"), dots(svg, "better")
    assert len(worse) == 1
    assert len(better) == 2
    x = [worse[0, 0], *better[:, 0]]
    slope = np.diff(x) / np.diff(list(values.values()))
    assert slope[0] == pytest.approx(slope[1], rel=1e-3)
    assert list(np.argsort([worse[0, 1], *better[:, 1]])) == [0, 1, 2]


def test_a_legend_names_each_hospital_and_the_bold_line(results):
    for chart, bold in ((charts.loss_chart, "Mean"), (charts.validation_chart, "Pooled")):
        keys = chart(results, site_names(results)).keys
        assert [key.name for key in keys] == [*site_names(results), bold]
        assert len({(key.role, key.dash) for key in keys}) == len(keys)


def test_more_hospitals_than_colours_look_alike(make_results):
    results = make_results({f"h{i}": 100 for i in range(len(SERIES) + 1)}, 2)
    keys = charts.loss_chart(results, site_names(results)).keys
    assert [key.name for key in keys] == ["Each of 9 hospitals", "Mean"]


def test_a_round_without_a_value_is_a_gap_and_nothing_at_all_is_no_chart(results):
    results["rounds"][3]["train"]["sites"]["Cleveland"]["loss"] = None
    svg = charts.loss_chart(results, ["Cleveland"]).svg
    assert "nan" not in svg.lower()
    for entry in results["rounds"]:
        entry["train"], entry["validation"] = None, None
    results["initial"] = None
    assert charts.loss_chart(results, site_names(results)) is None
    assert charts.validation_chart(results, site_names(results)) is None
    assert charts.benefit_chart({}, site_names(results)) is None
    assert charts.roc_chart({"federated": {"roc": None}}) is None


def test_one_round_shows_as_a_point(make_results):
    results = make_results({"only": 50}, 1)
    assert len(dots(charts.loss_chart(results, ["only"]).svg, "ink")) == 1


def test_curves_are_drawn_for_every_mode_that_has_them(results):
    curves = results["curves"] | {"local": {"roc": None, "calibration": None}}
    assert [key.name for key in charts.roc_chart(curves).keys] == ["Federated", "Central", "Logistic, central"]
    curves["central"]["calibration"]["observed"][3] = None
    assert "nan" not in charts.calibration_chart(curves).svg.lower()


def test_names_from_outside_are_text_and_not_formulas():
    hostile = {
        "$\\frac{x$": 0.1,
        "</text><script>": 0.2,
        "\N{CJK UNIFIED IDEOGRAPH-4E2D}": 0.3,
        "n" * 60: 0.4,
        "_u": 0.5,
    }
    benefit = {name: {"value": v, "low": None, "high": None} for name, v in hostile.items()}
    svg = charts.benefit_chart({"benefit": benefit}, list(hostile)).svg
    assert "$\\frac{x$" in svg
    assert "<script>" not in svg
    assert "\N{CJK UNIFIED IDEOGRAPH-4E2D}" in svg
