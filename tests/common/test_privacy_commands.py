"""`fedpeft privacy plan` finds the noise, says what it means, and does not hide that a wish is hopeless."""

import json
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from common.command import main
from common.privacy._accounting import Spending, epsilon_of
from common.privacy._meaning import best_true_positive_rate, noise_to_signal, pooled_noise_to_signal, posterior

COMMANDS = ["common.privacy_commands"]
QUICK = {"accountant": "rdp"}
HEART = {"--patients": "180", "--batch": "16", "--rounds": "8", "--epsilon": "8"}


def said(capsys: pytest.CaptureFixture[str], *switches: str, **options: str) -> str:
    """What the command says for heart, with these options instead."""
    wanted = {**HEART, **{f"--{name}": value for name, value in options.items()}}
    words = [word for pair in wanted.items() for word in pair]
    with pytest.raises(SystemExit, match="0"):
        main(["privacy", "plan", *words, *switches], commands=COMMANDS)
    return capsys.readouterr().out


def planned(capsys: pytest.CaptureFixture[str], **options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(capsys, "--json", **options))
    return found


def test_the_plan_keeps_the_wish(capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(capsys)["hospitals"][0]
    assert (plan["steps_per_round"], plan["steps"]) == (11, 88)  # round(180 / 16), 8 rounds
    spent = epsilon_of([Spending(plan["noise_multiplier"], 16 / 180, 88)], delta=1e-5)
    assert plan["epsilon"] == spent
    assert 7.9 < spent <= 8
    z = plan["noise_multiplier"]
    assert plan["noise_per_number"] == pytest.approx(z / 16)
    assert plan["noise_to_signal_step"] == pytest.approx(z * math.sqrt(74_498) / 16)
    assert plan["noise_to_signal"] == pytest.approx(z * math.sqrt(74_498) / 16 / math.sqrt(88))


def test_one_hospital_reads_it_in_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys)
    for words in (
        "each of 180 patients is in a step with probability 0.0889 (16 expected); 11 steps a round, 88 in a run",
        "noise multiplier 0.8",
        "raise the odds of it 2,981 times, a suspicion of 50 % to 99.97 %",
        "a search for hyper-parameters on the same patients spends too",
        "hopeless: even if all patients agreed",
        "times the patients",
        "epsilon 2",
    ):
        assert words in text
    assert "warning" not in text


def test_what_helps_does_help(capsys: pytest.CaptureFixture[str]) -> None:
    ratio = planned(capsys, **QUICK)["hospitals"][0]["noise_to_signal"]
    assert ratio > 1
    for better in (
        {"patients": str(round(180 * ratio))},
        {"parameters": str(int(74_498 / ratio**2))},
        {"patients": ",".join(["180"] * math.ceil(ratio**2))},
    ):
        assert planned(capsys, **QUICK, **better)["noise_to_signal_together"] < 1.15
    text = said(capsys, **QUICK, parameters="500")
    assert "workable" in text
    assert "to be no more than doubtful" not in text


def test_each_hospital_has_its_row_and_the_small_ones_pay(capsys: pytest.CaptureFixture[str]) -> None:
    found = planned(capsys, **QUICK, patients="180,90,30", epsilon="1")
    ratios = [plan["noise_to_signal"] for plan in found["hospitals"]]
    assert ratios == sorted(ratios)
    assert found["noise_to_signal_together"] < ratios[0]
    text = said(capsys, **QUICK, patients="180,90,30", epsilon="1")
    rows = [line for line in text.splitlines() if line.startswith("│")]
    assert [row.split()[1] for row in rows] == ["180", "90", "30"]
    assert all("hopeless" in row for row in rows)
    assert max(map(len, rows)) <= 80


def test_runs_over_the_same_patients_cost_noise(capsys: pytest.CaptureFixture[str]) -> None:
    one, three = (planned(capsys, **QUICK, runs=runs, epochs="0.5")["hospitals"][0] for runs in ("1", "3"))
    assert three["steps"] == one["steps"] == 48
    spent = epsilon_of([Spending(three["noise_multiplier"], 16 / 180, 3 * 48)], delta=1e-5, accountant="rdp")
    assert 7.9 < spent <= 8
    assert "all 3 runs over the same patients count" in said(capsys, **QUICK, runs="3", epochs="0.5")


def test_more_in_a_step_than_there_are_takes_all(capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(capsys, **QUICK, patients="9")["hospitals"][0]
    assert (plan["sampling_probability"], plan["patients_per_step"], plan["steps_per_round"]) == (1, 9, 1)


def test_a_delta_that_would_give_a_patient_away_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, **QUICK, patients="9,5000", batch="5000", delta="0.001")
    assert "warning: delta 0.001 is not below 1 / patients for 5,000 patients" in text


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"--patients": "0"}, "number of patients is 0"),
        ({"--patients": "-4"}, "--patients is '-4', but has to be a whole number"),
        ({"--patients": "180;30"}, "--patients 180,170,90,30"),
        ({"--batch": "0"}, "patients per step is 0"),
        ({"--rounds": "-1"}, "rounds is -1, but has to be at least 1"),
        ({"--runs": "0"}, "runs is 0"),
        ({"--parameters": "0"}, "parameters is 0"),
        ({"--epochs": "0"}, "epochs is 0.0"),
        ({"--epsilon": "-1"}, "epsilon is -1.0, but has to be above 0"),
        ({"--epsilon": "nan"}, "epsilon is nan"),
        ({"--epsilon": "1e-4"}, "take a larger epsilon"),
        ({"--delta": "1"}, "delta is 1.0, but has to be between 0 and 1"),
        ({"--accountant": "gdp"}, "--accountant is 'gdp', but has to be pld or rdp"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_exit_2(
    wrong: dict[str, str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [word for pair in {**HEART, **wrong}.items() for word in pair]
    assert main(["privacy", "plan", *arguments], commands=COMMANDS) == 2
    line = capsys.readouterr().err
    assert words in line
    assert line.count("\n") == 1


def test_a_gaussian_test_is_what_its_curve_allows() -> None:
    """Of a Gaussian of unit shift the best test is Neyman and Pearson's, by the normal distribution."""
    mu = 1.0
    epsilons = [part / 100 for part in range(600)]
    curve = [(e, float(norm.cdf(mu / 2 - e / mu) - math.exp(e) * norm.cdf(-mu / 2 - e / mu))) for e in epsilons]
    best = best_true_positive_rate(curve, false_positive_rate=0.01)
    assert best == pytest.approx(norm.cdf(norm.ppf(0.01) + mu), abs=1e-4)
    assert best < best_true_positive_rate(curve[400:401], false_positive_rate=0.01)


@given(st.floats(0, 800), st.floats(0, 0.5), st.floats(1e-4, 1))
def test_rates_are_rates(epsilon: float, delta: float, false_positive_rate: float) -> None:
    found = best_true_positive_rate([(epsilon, delta)], false_positive_rate=false_positive_rate)
    assert false_positive_rate <= found <= 1
    assert 0.5 <= posterior(epsilon, prior=0.5) <= 1


def test_noise_is_what_is_drawn() -> None:
    """The ratio against noise that is drawn: 40 steps of 10 patients, all at the clip norm and in one direction."""
    import numpy as np

    rng = np.random.default_rng(0)
    noise = sum(rng.normal(0, 1.5, 20_000) for _ in range(40))
    expected = np.linalg.norm(noise) / (40 * 10)
    assert noise_to_signal(1.5, patients_per_step=10, steps=40, parameters=20_000) == pytest.approx(expected, rel=0.02)


def test_the_mean_of_hospitals_has_their_noise() -> None:
    """Two hospitals, (z, b, T, patients) each, drawn."""
    import numpy as np

    rng = np.random.default_rng(1)
    hospitals = [(2.0, 10, 30, 300), (3.0, 5, 6, 30)]
    mean, signal, ratios = np.zeros(10_000), 0.0, []
    for z, b, steps, patients in hospitals:
        mean += patients / 330 * rng.normal(0, z * math.sqrt(steps) / b, 10_000)
        signal += patients / 330 * steps
        ratio = noise_to_signal(z, patients_per_step=b, steps=steps, parameters=10_000)
        ratios.append((ratio, steps, patients))
    assert pooled_noise_to_signal(ratios) == pytest.approx(np.linalg.norm(mean) / signal, rel=0.03)


def test_it_needs_no_torch() -> None:
    program = (
        "import sys; from common.privacy_commands import plan; plan('40', 40, 2, 8.0); "
        "sys.exit(sorted({'torch', 'transformers', 'peft'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "noise multiplier" in done.stdout
    assert not done.stderr
