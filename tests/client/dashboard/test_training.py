import json
from pathlib import Path

from client.dashboard.training import MOST_POINTS, read_steps, round_drawing, rounds_of, step_drawing


def write(path: Path, *steps: dict[str, object]) -> None:
    about = {"study": "s", "run": "r", "gradient_norm": 2.0}
    path.write_text("".join(json.dumps({**about, **step}) + "\n" for step in steps))


def test_rounds_are_means_over_their_steps(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    write(path.with_name("steps.jsonl.1"), {"round": 1, "step": 1, "loss": 4.0}, {"round": 1, "step": 2, "loss": 2.0})
    write(path, {"round": 2, "step": 1, "loss": None}, {"round": 2, "step": 2, "loss": 1.0})
    with path.open("a") as file:
        file.write('[1]\n{"study": 3}\n{"round": 3, "st')
    first, second = rounds_of(read_steps(path))
    assert (first.round, first.steps, first.loss, first.last_loss, first.gradient_norm) == (1, 2, 3.0, 2.0, 2.0)
    assert (second.round, second.steps, second.loss, second.last_loss) == (2, 2, 1.0, 1.0)
    drawing = round_drawing([first, second])
    assert drawing is not None
    assert (drawing["x"], drawing["lines"][0]["y"]) == ([1, 2], [3.0, 1.0])


def test_without_a_log_there_is_nothing(tmp_path: Path) -> None:
    assert read_steps(tmp_path / "none.jsonl") == []
    assert round_drawing([]) is None
    assert step_drawing([]) is None


def test_many_steps_are_thinned_evenly_to_the_last(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    write(path, *({"round": 1, "step": n + 1, "loss": float(n + 1)} for n in range(2345)))
    drawing = step_drawing(read_steps(path))
    assert drawing is not None
    assert drawing["x"] == drawing["lines"][0]["y"]
    assert drawing["x"][-1] == 2345
    assert len(drawing["x"]) <= MOST_POINTS
