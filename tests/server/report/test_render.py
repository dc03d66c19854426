import copy
import random
from html.parser import HTMLParser

import pytest

from common.errors import UserError
from server.model_card import render_card
from server.outcome_json import check_format
from server.report.render import render, write_report
from server.report.summary import summary
from server.report.terminal import terminal_table

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Reads a page, checks that tags nest, and keeps tags, ids, attributes and visible text."""

    def __init__(self, content):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


def check(content):
    page = Page(content)
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(page.tags)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in {"src", "href", "xlink:href"}:
            assert value.startswith("#")
            assert value[1:] in ids
    assert "url(http" not in content
    assert "@import" not in content
    return page


def test_the_report_is_one_well_formed_file_that_loads_nothing(results):
    page = check(render(results))
    assert page.tags.count("h1") == 1
    assert page.tags.count("svg") >= 5
    for part in summary(results):
        assert part in page.text
    assert results["digests"]["adapter"] in page.text
    assert "No formal privacy guarantee" in page.text
    assert "fedpeft simulate heart --seed 0" in page.text


def test_the_same_results_give_the_same_bytes(results):
    assert render(results) == render(copy.deepcopy(results))


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}", "$a_b$", "a&b"]
)
def test_hostile_names_are_shown_and_not_run(make_results, name):
    results = make_results({name: 100, "b": 90}, 2)
    results["study"]["name"] = results["study"]["description"] = name
    results["study"]["task"]["labels"] = [name, "yes"]
    results["rounds"][0]["participation"]["b"] = {"status": "refused", "reason": name}
    results["curves"][name] = results["curves"].pop("central")
    page = check(render(results))
    assert page.text.count(name) >= 8


@pytest.mark.parametrize("count", [1, 50])
@pytest.mark.parametrize("rounds", [1, 3])
def test_one_hospital_or_fifty_one_round_or_more(make_results, count, rounds):
    results = make_results({f"site{i}": 80 for i in range(count)}, rounds)
    page = check(render(results))
    assert all(f"site{i}" in page.text for i in range(count))


def test_results_that_are_all_but_empty_still_make_a_page():
    assert "Nothing was compared" in check(render({"format": 1})).text


def paths_of(value, path=()):
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from paths_of(child, (*path, key))


def without(content, path, *, remove):
    copied = copy.deepcopy(content)
    place = copied
    for key in path[:-1]:
        place = place[key]
    if remove and isinstance(place, dict):
        del place[path[-1]]
    else:
        place[path[-1]] = None
    return copied


def small(make_results):
    results = make_results({"north": 80, "south": 70}, 2)
    results["comparison"]["over_seeds"] = {
        "federated_minus_local": {"mean": {"auroc": {"value": 0.1, "low": 0.0, "high": 0.2}}}
    }
    for mode in results["curves"].values():
        for kind, curve in mode.items():
            mode[kind] = {key: values[:3] for key, values in curve.items()}
    return results


def test_any_part_of_the_results_may_be_null_or_absent(make_results):
    results = small(make_results)
    for path in paths_of(results):
        if path == ("format",) or (path[0] == "rounds" and len(path) == 2):
            continue
        for remove in (True, False):
            lacking = without(results, path, remove=remove)
            assert summary(lacking)
            assert terminal_table(lacking)
            assert render_card(lacking).startswith("---\n")


def test_a_page_is_made_whatever_part_is_null(make_results):
    results = small(make_results)
    paths = [p for p in paths_of(results) if p != ("format",) and not (p[0] == "rounds" and len(p) == 2)]
    shallow = [(key,) for key in ("study", "rounds", "comparison", "initial", "curves")]
    for path in shallow + random.Random(0).sample(paths, 6):
        check(render(without(results, path, remove=False)))


def test_curves_given_apart_take_the_place_of_those_in_the_results(results):
    assert "ROC curves" not in render(results, {})
    assert "ROC curves" in render(results, results["curves"])


def test_what_is_written_is_what_is_rendered(results, tmp_path):
    write_report(results, tmp_path / "a.html")
    assert (tmp_path / "a.html").read_bytes() == render(results).encode()


@pytest.mark.parametrize("content", [{}, {"format": 2}, {"format": "1"}])
def test_results_of_another_format_are_a_users_mistake(content):
    for read in (check_format, render):
        with pytest.raises(UserError, match=r"another version"):
            read(content)
