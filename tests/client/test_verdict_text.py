"""A verdict as a line: what was compared, and what was decided."""

from client.acceptance import Compared, Verdict
from client.verdict_text import reasons, table
from common.metrics.measure import MetricInfo
from common.metrics.types import Metric


def test_each_verdict_is_one_line() -> None:
    info = MetricInfo("auroc", "AUROC", "")
    gain = Metric(-0.05, 40, -0.11, 0.02)
    compared = Compared(info, Metric(0.8, 40), Metric(0.85, 40, 0.7, 0.9), gain)
    verdicts = {
        "east": Verdict(False, "it loses", 0.02, 40, 30, compared),
        "west": Verdict(True, "nothing to compare with", 0.02, 0, 0),
    }
    _, east, west = table(verdicts)
    words = ["east", "40", "AUROC", "0.850 (0.700 to 0.900)", "0.800", "-0.050 (-0.110 to +0.020)", "NOT used"]
    assert [word.strip() for word in east.split("  ") if word] == words
    assert west.split() == ["west", "0", "-", "-", "-", "-", "used"]
    assert list(reasons(verdicts)) == ["east: it loses", "west: nothing to compare with"]
