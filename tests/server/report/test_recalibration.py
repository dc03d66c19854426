from server.report.recalibration import ARROW, badly_calibrated, recalibration_table


def test_before_and_after_stand_in_one_cell_with_the_change(evidence_results):
    sites = evidence_results["study"]["federation"]["sites"]
    table = recalibration_table(evidence_results, sites)
    assert table.header[1:] == ("Calibration error", "Brier score", "Log loss", "Slope", "Intercept")
    error, slope = table.rows[0][1], table.rows[0][4]
    assert error.text == f"0.300 {ARROW} 0.200"
    assert error.detail == "\N{MINUS SIGN}0.100 (\N{MINUS SIGN}0.150 to \N{MINUS SIGN}0.050)"
    assert (slope.text, slope.detail) == (f"0.500 {ARROW} 0.200", "0.300 to 0.700")
    assert {cell.note for cell in table.rows[-1][1:]} == {"fewer than 10 validation rows"}
    assert badly_calibrated(evidence_results) == sites[:-1]


def test_a_temperature_has_no_slope(evidence_results):
    sites = evidence_results["study"]["federation"]["sites"]
    for each in evidence_results["recalibration"]["sites"].values():
        each["method"] = "temperature" if each["method"] else None
    assert len(recalibration_table(evidence_results, sites).header) == 4


def test_where_no_hospital_has_a_map_there_is_no_table(results):
    assert recalibration_table(results, ["Cleveland"]) is None
    assert badly_calibrated(results) == []
