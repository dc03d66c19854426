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
    assert "this page has 2 intervals." in text


def test_only_differences_with_an_interval_are_counted(played: Played) -> None:
    """One seed is left of the row that diverged, and one seed has no interval."""
    assert "this page has 1 interval." in text_of(with_diverged(played[0], 1))


def test_the_page_says_on_whom_rates_were_chosen(played: Played) -> None:
    text = text_of(played[0])
    assert "chosen on patients some of whom are test patients of the reported seeds" in text
    assert "intervals do not include the noise of choosing" in text


def test_rates_at_the_edge_and_rates_without_a_choice_are_marked(played: Played) -> None:
    text = text_of(played[0])
    assert "at the edge" in text
    assert "one candidate: not chosen" in text
    assert "Rows do not have the same number of candidates" in text


def with_diverged(found: Comparison, *places: int) -> Comparison:
    """The comparison as if seed 0 of these rows had diverged."""
    runs = [each.runs for each in found.summaries]
    for place in places:
        ended = {**runs[place].results[0], "status": "diverged", "reason": "round 1: TRAINING_DIVERGED"}
        choice = Choice(0.1, {0.1: float("inf"), 1.0: 1e9})
        runs[place] = replace(runs[place], results=[ended, runs[place].results[1]], choice=choice)
    return replace(found, summaries=summaries(runs, found.info, baseline="fedavg"))


def test_a_run_that_diverged_is_said_and_counted(played: Played) -> None:
    changed = with_diverged(played[0], 1)
    text = text_of(changed)
    assert changed.summaries[1].missing == 1
    assert "1 of 6 runs have no value: they diverged or stopped." in text
    assert "half-way-of-tests, lora, as in the study, seed 0 diverged: round 1: TRAINING_DIVERGED" in text
    assert "1 of 2 seeds" in text or "one seed: no interval" in text


def test_a_row_that_diverged_at_a_seed_leads_never_however_good_its_other_seeds(played: Played) -> None:
    """Each row in turn is given the best value there is at the seed that it has left."""
    for place, row in enumerate(played[0].summaries):
        changed = with_diverged(played[0], place)
        rows = list(changed.summaries)
        best = played[0].info.high if played[0].info.higher_is_better else played[0].info.low
        rows[place] = replace(rows[place], level=Metric(best, 1, reason="one seed: no interval"))
        text, name = text_of(replace(changed, summaries=rows)), row.runs.cell.strategy
        assert "the best mean" in text
        assert f", of {name}" not in text
        assert f"Left aside, since a seed has no value: {name}." in text


def test_where_every_row_diverged_at_a_seed_none_leads(played: Played) -> None:
    text = text_of(with_diverged(played[0], 0, 1, 2))
    assert "no row has a value at every seed, so that none is called the best." in text
    assert "the best mean" not in text


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
