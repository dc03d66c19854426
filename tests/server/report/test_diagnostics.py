"""The charts of the updates' figures, and what is said where there are none."""

import re

from server.report.diagnostics import EXACT, charts, reasons

SITES = ["a", "b"]


def entry(number, error=0.01, **changes):
    figures = {
        "update_norms": {"a": 1.0, "b": 2.0},
        "aggregated_norm": 1.2,
        "aggregation_error": error,
        "effective_rank": 2.0,
        "drift": 0.5,
        "pairwise_cosine": -0.1,
        "cosines": {"a": 0.3, "b": None},
        "reasons": {},
    }
    return {"round": number, "diagnostics": {**figures, **changes}}


def test_each_figure_has_a_chart_that_says_how_to_read_it():
    found = charts([entry(1), entry(2)], SITES)
    assert [figure.caption.partition(".")[0] for figure in found] == [
        "Aggregation error per round",
        "Cosines of the updates per round",
        "Drift per round",
        "Lengths of the updates per round",
        "Effective rank per round",
    ]
    assert all(len(figure.caption) > 100 for figure in found)
    assert [key.name for key in found[1].keys] == ["a", "Between two hospitals"]


def test_the_error_stands_on_an_axis_of_whole_decades_in_the_colours_of_the_page():
    svg = charts([entry(1, 0.3), entry(2, 0.004)], SITES)[0].svg
    assert re.findall(r">(0?\.?\d+)</text>", svg)[:2] == ["1", "2"]
    for mark in ("0.001", "0.01", "0.1"):
        assert f">{mark}</text>" in svg
    assert "#000000" not in re.sub(r"fill: none[^\"]*", "", svg)


def test_an_error_of_zero_is_said_and_not_drawn():
    exact = [entry(1, 0.0), entry(2, 0.0)]
    assert "Aggregation error per round" not in "".join(figure.caption for figure in charts(exact, SITES))
    assert reasons(exact) == [EXACT]
    assert reasons([entry(1, 0.0), entry(2, 0.1)]) == []


def test_what_is_missing_has_its_reason_and_its_rounds():
    none = entry(2, None, reasons={"aggregation_error": "no LoRA pair is shared"})
    assert reasons([entry(1), none]) == ["No aggregation error in round 2: no LoRA pair is shared."]
    assert reasons([none, none]) == ["No aggregation error in any round: no LoRA pair is shared."]


def test_results_without_such_figures_have_no_charts():
    assert charts([{"round": 1, "diagnostics": None}], SITES) == ()
    assert reasons([{"round": 1}]) == []
