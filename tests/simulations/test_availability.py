"""Sites in virtual time: the draws are of seed, round and site alone, and have the shares that the model says."""

import numpy as np
import pytest
from pydantic import ValidationError

from simulations.availability import Availability, SiteTime


def site(name: str = "east", seed: int = 0, **keys: object) -> SiteTime:
    return SiteTime(Availability.model_validate({"deadline_s": 100.0, **keys}), seed, name)


def test_a_site_without_spread_works_as_long_as_the_median_site() -> None:
    assert site(work_s=12.0).work_s(3, size_bytes=10**9) == 12.0


def test_bytes_take_their_time() -> None:
    assert site(work_s=12.0, bytes_per_s=100.0).work_s(1, size_bytes=1000) == 22.0


def test_speeds_are_log_normal_over_sites() -> None:
    """The logarithms of 2000 sites' seconds: mean log 60, standard deviation 0.5, each within 4 standard errors."""
    logs = np.log([site(f"s{i}", speed_spread=0.5).work_s(1, size_bytes=0) for i in range(2000)])
    assert abs(logs.mean() - np.log(60)) < 4 * 0.5 / np.sqrt(2000)
    assert abs(logs.std() - 0.5) < 4 * 0.5 / np.sqrt(4000)


def test_a_slow_site_is_slow_in_every_round_and_rounds_differ_where_they_may() -> None:
    steady, varying = site(speed_spread=1.0), site(speed_spread=1.0, round_spread=0.3)
    assert steady.work_s(1, size_bytes=0) == steady.work_s(9, size_bytes=0)
    assert varying.work_s(1, size_bytes=0) != varying.work_s(9, size_bytes=0)


def test_draws_are_of_seed_round_and_site() -> None:
    model = {"speed_spread": 0.5, "dropout": 0.5, "pattern": "on-off", "up_s": 10.0, "down_s": 10.0}

    def drawn(one: SiteTime) -> list[float]:
        return [f(n) for n in range(20) for f in (one.fails, one.next_up_s, lambda n: one.work_s(n, size_bytes=0))]

    assert drawn(site(**model)) == drawn(site(**model))
    assert drawn(site(**model)) != drawn(site("west", **model))
    assert drawn(site(**model)) != drawn(site(seed=1, **model))


def test_dropout_has_its_share_and_stays_for_the_round() -> None:
    failed = [site(f"s{i}", dropout=0.3).fails(4) for i in range(2000)]
    assert abs(np.mean(failed) - 0.3) < 4 * np.sqrt(0.21 / 2000)
    assert failed == [site(f"s{i}", dropout=0.3).fails(4) for i in range(2000)]


@pytest.mark.parametrize("pattern", ["on-off", "diurnal"])
@pytest.mark.parametrize("at", [0.0, 137.0])
def test_links_are_up_for_their_share_of_the_time_from_the_start_on(pattern: str, at: float) -> None:
    """up / (up + down) = 0.75 at any moment: the chain is stationary, and phases are uniform."""
    sites = [site(f"s{i}", pattern=pattern, up_s=30.0, down_s=10.0) for i in range(2000)]
    share = np.mean([one.next_up_s(at) == at for one in sites])
    assert abs(share - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 2000)


def test_a_diurnal_link_is_up_again_after_its_time_down() -> None:
    one = site(pattern="diurnal", up_s=30.0, down_s=10.0)
    states = [one.next_up_s(float(t)) == t for t in range(400)]
    assert sum(states) == 300
    assert max(one.next_up_s(float(t)) - t for t in range(400)) <= 10.0
    assert states[:40] == states[40:80]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"pattern": "on-off"}, "needs up_s and down_s"),
        ({"up_s": 5.0}, "goes with pattern"),
        ({"dropout": 1.0}, "less than 1"),
        ({"deadline_s": 0.0}, "greater than 0"),
    ],
)
def test_a_model_that_says_nothing_whole_is_refused(keys: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        site(**keys)
