import pytest

from server.dashboard.alerts import alerts, divergence, gap, refused, unusual_norms, usual
from server.dashboard.scores import scores_of
from server.dashboard.state import View


def record(number: int, **status: str) -> dict[str, object]:
    parts = {site: {"status": word, "reason": "NOT_APPROVED"} for site, word in status.items()}
    return {"round": number, "participation": parts}


def norms(*values: float) -> list[dict[str, object]]:
    return [{"round": k, "diagnostics": {"update_norms": {"east": v}}} for k, v in enumerate(values, start=1)]


def test_three_refusals_in_a_row_are_said() -> None:
    found = list(refused([record(k, east="refused", west="accepted") for k in (1, 2, 3)]))
    assert [(alert.site, alert.round) for alert in found] == [("east", 3)]
    assert "refused 3 times in a row: not approved" in found[0].text


@pytest.mark.parametrize(
    "words",
    [
        ["refused", "refused"],
        ["refused", "refused", "accepted", "refused"],
        ["refused", "refused", "late"],
        ["refused", "refused", "refused", "accepted"],
    ],
)
def test_fewer_or_broken_refusals_are_not(words: list[str]) -> None:
    assert list(refused([record(k, east=word) for k, word in enumerate(words, start=1)])) == []


def test_a_round_without_the_site_does_not_break_the_row() -> None:
    rounds = [
        record(1, east="refused"),
        record(2, west="accepted"),
        record(3, east="refused"),
        record(4, east="refused"),
    ]
    assert [alert.site for alert in refused(rounds)] == ["east"]


@pytest.mark.parametrize(
    "losses",
    [
        [0.7, 0.6, None],
        [0.7, float("nan")],
        [0.7, float("inf")],
        [0.7, 0.3, 0.61],
        [0.50, 0.51, 0.52, 0.53, 0.54, 0.55],
    ],
)
def test_divergence_is_said(losses: list[float | None]) -> None:
    assert [alert.kind for alert in divergence(losses)] == ["divergence"]


@pytest.mark.parametrize(
    "losses", [[], [None], [0.7], [0.7, 0.6, 0.65], [0.3, 0.6], [0.50, 0.51, 0.52, 0.53, 0.54], [0.5] * 9]
)
def test_a_loss_that_falls_or_wavers_is_not_divergence(losses: list[float | None]) -> None:
    assert list(divergence(losses)) == []


def view_with(training: float, validation: float) -> View:
    scores = scores_of({"sites": {}, "pooled": {"log_loss": {"value": validation}}})
    assert scores is not None
    rounds = {k: {"round": k, "train": {"mean": {"loss": training}}} for k in (1, 2)}
    return View(records=rounds, scores={1: scores})


def test_the_gap_is_of_the_last_round_that_has_both_losses() -> None:
    assert [alert.round for alert in gap(view_with(0.3, 0.51))] == [1]
    assert list(gap(view_with(0.3, 0.49))) == []
    assert list(gap(View())) == []


def test_a_norm_outside_its_own_usual_range_is_said() -> None:
    steady = [1.0, 1.1, 0.9, 1.0, 1.05]
    assert [alert.site for alert in unusual_norms(norms(*steady, 3.0))] == ["east"]
    assert [alert.site for alert in unusual_norms(norms(*steady, 0.1))] == ["east"]
    assert list(unusual_norms(norms(*steady, 1.2))) == []


def test_few_rounds_say_nothing_of_what_is_usual() -> None:
    assert usual([1.0] * 4) is None
    assert list(unusual_norms(norms(1, 1, 1, 1, 99))) == []


def test_one_wild_round_does_not_make_wild_usual() -> None:
    calm, wild = usual([1.0, 1.1, 0.9, 1.0, 1.05, 0.95]), usual([1.0, 1.1, 0.9, 1.0, 1.05, 500.0])
    assert calm is not None
    assert wild is not None
    assert wild[1] < 2 * calm[1]


def test_scaling_every_norm_scales_the_range() -> None:
    one, ten = usual([1.0, 1.4, 0.6, 1.0, 1.2]), usual([10.0, 14.0, 6.0, 10.0, 12.0])
    assert one is not None
    assert ten == pytest.approx([10 * bound for bound in one])


def test_the_pressing_ones_come_first() -> None:
    found = alerts(
        View(records={1: {"round": 1}}, stopped="round 2: 1 of 3 sites sent an accepted reply", sites=("east",))
    )
    assert [alert.kind for alert in found] == ["stopped"]
    both = alerts(View(lacking={"east": "no approval"}, stopped="too few"))
    assert [alert.tone for alert in both] == ["bad", "warn"]
