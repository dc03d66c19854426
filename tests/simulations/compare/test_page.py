"""compare.html: one file without network or script, whose tables and intervals are those of the comparison."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from common.metrics.types import Metric
from simulations.compare.cells import Misfit
from simulations.compare.choosing import Choice
from simulations.compare.comparing import Comparison
from simulations.compare.page import render
from simulations.compare.rows import Summary, summaries

Played = tuple[Comparison, Path]


class Page(HTMLParser):
    """Keeps tags, attributes and visible text, and checks that tags nest."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[str | None] = []
        self.text = ""
        self.feed(content)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += f" {data}"


def text_of(found: Comparison) -> str:
    return " ".join(Page(render(found)).text.split())


def test_the_page_needs_nothing_but_itself(played: Played) -> None:
    page = Page((played[1] / "compare.html").read_text())
    assert not page.tags & {"script", "link", "img", "iframe"}
    assert all(address is None or address.startswith("#") for address in page.addresses)
    assert "svg" in page.tags


def test_the_page_says_what_was_run_and_how_to_run_it_again(played: Played) -> None:
    text = text_of(played[0])
    assert "fedpeft compare small.toml" in text
    assert '"share": 0.5' in text
    assert "Seeds are not patients" in text
    assert "this page has 2 of them" in text


def test_rates_at_the_edge_and_rates_without_a_choice_are_marked(played: Played) -> None:
    text = text_of(played[0])
    assert "at the edge" in text
    assert "one candidate: not chosen" in text
    assert "Rows do not have the same number of candidates" in text


def test_a_run_that_diverged_is_said_and_counted(played: Played) -> None:
    found = played[0]
    runs = [each.runs for each in found.summaries]
    ended = {**runs[1].results[0], "status": "diverged", "reason": "round 1: TRAINING_DIVERGED"}
    runs[1] = replace(runs[1], results=[ended, runs[1].results[1]], choice=Choice(0.1, {0.1: float("inf"), 1.0: 1e9}))
    changed = replace(found, summaries=summaries(runs, found.info, baseline="fedavg"))
    text = text_of(changed)
    assert changed.summaries[1].missing == 1
    assert "1 of 6 runs have no value: they diverged or stopped." in text
    assert "half-way-of-tests, lora, as in the study, seed 0 diverged: round 1: TRAINING_DIVERGED" in text
    assert "1 of 2 seeds" in text or "one seed: no interval" in text


def test_what_does_not_go_together_is_listed(played: Played) -> None:
    found = replace(played[0], misfits=[Misfit("ffa-lora", "prefix", "iid", "it is about LoRA's pairs")])
    assert "ffa-lora, prefix, iid it is about LoRA" in text_of(found)


def test_names_and_reasons_are_text_and_never_markup(played: Played) -> None:
    found = replace(played[0], misfits=[Misfit("<script>alert(1)</script>", "m", "h", "<b>why</b>")])
    content = render(found)
    assert "<script>" not in content
    assert "<b>why" not in content


@pytest.mark.parametrize(("low", "high", "words"), [(0.01, 0.03, "clearly different"), (-0.01, 0.05, "no interval of")])
def test_only_an_interval_that_excludes_zero_is_called_clear(
    played: Played, low: float, high: float, words: str
) -> None:
    rows: list[Summary] = list(played[0].summaries)
    for place in (1, 2):
        pair = rows[place].paired
        assert pair is not None
        rows[place] = replace(rows[place], paired=replace(pair, difference=Metric(0.02, 2, low, high)))
    assert words in text_of(replace(played[0], summaries=rows))
