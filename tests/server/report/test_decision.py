import xml.etree.ElementTree as ET

from server.report.decision import decision_chart, decision_table, useful_range


def test_chart_and_table_have_every_rule(evidence_results):
    figure, table = decision_chart(evidence_results), decision_table(evidence_results)
    ET.fromstring(figure.svg)
    assert [key.name for key in figure.keys] == ["Federated", "Local", "Act on everybody", "Act on nobody"]
    assert table.header[1:] == ("Federated", "Local", "Act on everybody", "Act on nobody")
    (fifty,) = [row for row in table.rows if row[0].text == "50 %"]
    assert [cell.text for cell in fifty[1:]] == ["0.150", "0.050", "0.000", "0.000"]


def test_it_says_where_the_model_is_above_both_simple_rules(evidence_results):
    """0.4 - t / 2 is above 0 below 0.8, and above (0.5 - t / 2 / (1 - t)) from 0.3583 on: at 0.36 to 0.79."""
    assert "for thresholds from 36 % to 79 %." in useful_range(evidence_results)
    curve = evidence_results["decision_curve"]
    curve["modes"]["federated"] = [-1.0] * 99
    assert "At no threshold" in useful_range(evidence_results)
    curve["modes"]["federated"] = [1.0 if place % 10 < 5 else -1.0 for place in range(99)]
    assert useful_range(evidence_results).count("from") == 3


def test_results_without_a_curve_have_none(results):
    assert decision_chart(results) is None
    assert decision_table(results) is None
    assert useful_range(results) == ""
