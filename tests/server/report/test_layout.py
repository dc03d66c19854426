from server.report.layout import Cell, Section, difference_cell, pairs, score_cell, table
from server.report.values import Estimate


def test_notes_are_distinct_and_in_order_of_appearance():
    rows = [[Cell("a"), Cell("1", note="x")], [Cell("b", note="y"), Cell("2", note="x")]]
    assert table("t", ["", ""], rows).notes == ["x", "y"]


def test_a_missing_score_is_a_dash_with_its_reason():
    cell = score_cell(Estimate(reason="ONE_CLASS"), missing="not measured")
    assert (cell.text, cell.note) == ("\N{EN DASH}", "one class")
    assert score_cell(Estimate(), missing="not measured").note == "not measured"


def test_a_score_from_histograms_states_its_error():
    assert "0.0005" in score_cell(Estimate(0.9, error=0.0005)).note


def test_a_score_without_interval_has_no_second_line():
    assert score_cell(Estimate(0.9)).detail == ""
    assert difference_cell(Estimate(0.1, 0.05, 0.15)).detail == "+0.050 to +0.150"


def test_a_section_with_a_heading_only_is_empty():
    assert Section("x").is_empty
    assert not Section("x", tables=(pairs("t", ("a", "b"), []),)).is_empty
