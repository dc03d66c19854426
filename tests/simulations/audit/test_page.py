from dataclasses import replace
from html.parser import HTMLParser

from common.metrics.types import Metric
from simulations.audit.findings import Audit, Sanity
from simulations.audit.page import render
from simulations.audit.words import sentences


def test_the_page_is_one_file_with_every_figure(leaky_audit: Audit) -> None:
    page = render(leaky_audit)
    HTMLParser().feed(page)
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert "<script" not in page
    assert page.count("<svg") == 3
    for check in leaky_audit.checks:
        assert check.label in page
        assert check.verdict in page
    assert "bounds leakage from below" in page
    assert "2 shadow adapters" in page


def test_the_verdict_comes_first_and_says_what_failed(leaky_audit: Audit) -> None:
    said = sentences(leaky_audit)
    assert said[0].startswith("FAIL")
    assert any(text.startswith("Canaries: mean exposure in bits, east: ") for text in said)
    assert said[-1].startswith("An audit bounds leakage from below")


def test_a_sanity_figure_off_chance_is_told(leaky_audit: Audit) -> None:
    wrong = replace(leaky_audit, sanity=(Sanity("Held-out rows", Metric(0.7, 50, 0.6, 0.8)),))
    assert any("must be chance is not" in text and "Held-out rows" in text for text in sentences(wrong))
    assert not any("must be chance is not" in text for text in sentences(leaky_audit))


def test_what_is_not_measured_is_no_pass(leaky_audit: Audit) -> None:
    bare = replace(leaky_audit, checks=(), sanity=(), canaries=None, tokens=replace(leaky_audit.tokens, settings=()))
    assert bare.verdict == "not measured"
    assert "NOT MEASURED" in render(bare)
