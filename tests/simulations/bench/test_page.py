import re

from simulations.bench.page import Drawn, ratio_chart, ratios_of, render

MACHINE = {"cores": 2, "cpu": "A <processor>", "capability": "AVX2", "versions": {"torch": "2.13.0", "ray": None}}
FIGURES = {
    "x_over_y": 0.5,
    "x_over_y_least": 0.25,
    "x_over_y_most": 0.75,
    "x_over_z_cpu": 2.5,
    "x_seconds_best": 1.25,
    "x_pays_after_rounds": None,
}
ENTRY = {"figures": FIGURES, "date": "2026-01-01", "command": "python -m simulations.bench x", "machine": MACHINE}
CONTENT = {"sections": {"x": {**ENTRY, "load_before": 0.1, "load_after": 0.2}}}


def test_ratios_are_told_from_other_figures() -> None:
    assert ratios_of(FIGURES) == [Drawn("x_over_y", 0.5, 0.25, 0.75), Drawn("x_over_z_cpu", 2.5, 2.5, 2.5)]


def test_the_page_has_every_figure_and_a_chart() -> None:
    page = render(CONTENT)
    for text in ("x_over_y", "0.25 to 0.75", "x_seconds_best", "1.25", "never", "A &lt;processor&gt;", "torch 2.13.0"):
        assert text in page, text
    assert page.count("<svg") == 1
    assert "ray None" not in page
    assert not re.search(r"(src|href)=\"http", page)


def test_a_section_without_ratios_has_no_chart() -> None:
    entry = {**CONTENT["sections"]["x"], "figures": {"seconds": 1.0}}
    assert "<svg" not in render({"sections": {"x": entry}})


def test_the_chart_tells_faster_from_slower() -> None:
    faster, slower = (ratio_chart([Drawn("a_over_b", v, v, v)], "s").svg for v in (0.5, 2.0))
    assert "var(--better)" in faster
    assert "var(--worse)" not in faster
    assert "var(--worse)" in slower
