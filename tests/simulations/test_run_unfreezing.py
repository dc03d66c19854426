"""A whole run with gradual unfreezing: what was frozen in a round has every bit of the round before."""

from pathlib import Path

from safetensors.numpy import load_file

from simulations.run import run

STEPS = "training.unfreeze=[{from_round=1, active=['head.*']}, {from_round=3, active=['*']}]"
FAST = ("training.local_epochs=1", "evaluation.resamples=10", "evaluation.keep='last'")


def test_the_head_is_trained_first_and_then_everything(tmp_path: Path) -> None:
    states = {}
    for rounds in (2, 3):
        found = run("quick", out=tmp_path / str(rounds), rounds=rounds, overrides=[*FAST, STEPS], comparison=False)
        states[rounds] = load_file(found.adapter / "adapter.safetensors")
        sent = [entry["bytes_up"] for entry in found.content["rounds"][0]["participation"].values()]
        assert {each["status"] for each in found.content["rounds"][-1]["participation"].values()} == {"accepted"}
    initial = load_file(tmp_path / "2" / "bundle" / "initial.safetensors")
    changed = {r: {n for n in state if (state[n] != initial[n]).any()} for r, state in states.items()}
    assert changed[2] == {"head.weight", "head.bias"}
    assert changed[3] == set(initial)
    last = [entry["bytes_up"] for entry in found.content["rounds"][-1]["participation"].values()]
    assert max(sent) < min(last)  # what is frozen does not travel
