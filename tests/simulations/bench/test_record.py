import json
import math
from pathlib import Path

from simulations.bench.record import FILE, PAGE, Measured, record

FIRST = Measured({"a_over_b": 0.5, "a_over_b_least": 0.4, "a_over_b_most": 0.7}, 1.0, 2.0, "2026-01-01", "bench a")
NEVER = Measured({"pays_after_rounds": math.inf, "seconds": 2.0}, 0.5, 0.6, "2026-01-02", "bench b")


def read(folder: Path) -> dict[str, dict[str, object]]:
    sections: dict[str, dict[str, object]] = json.loads((folder / FILE).read_text(), parse_constant=fail)["sections"]
    return sections


def fail(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


def test_a_section_stays_until_it_is_measured_again(tmp_path: Path) -> None:
    record(tmp_path / "new", "one", FIRST)
    record(tmp_path / "new", "two", NEVER)
    assert set(read(tmp_path / "new")) == {"one", "two"}
    assert read(tmp_path / "new")["one"]["figures"] == FIRST.figures
    record(tmp_path / "new", "one", Measured({"c": 1.0}, 0.0, 0.0, "2026-01-03", "bench one"))
    sections = read(tmp_path / "new")
    assert sections["one"]["figures"] == {"c": 1.0}
    assert sections["two"]["figures"] == {"pays_after_rounds": None, "seconds": 2.0}
    page = (tmp_path / "new" / PAGE).read_text()
    assert "pays_after_rounds" in page
    assert "a_over_b" not in page


def test_each_section_says_on_what_it_was_measured(tmp_path: Path) -> None:
    import torch

    record(tmp_path, "one", FIRST)
    entry = read(tmp_path)["one"]
    machine = entry["machine"]
    assert isinstance(machine, dict)
    assert machine["cores"] >= 1
    assert machine["capability"] == torch.backends.cpu.get_cpu_capability()
    assert machine["versions"]["torch"] == torch.__version__
    assert {"flwr", "ray"} <= set(machine["versions"])
    assert (entry["command"], entry["date"]) == ("bench a", "2026-01-01")
    assert (entry["load_before"], entry["load_after"]) == (1.0, 2.0)


def test_a_file_of_something_else_is_written_anew(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"sections": 3}'):
        (tmp_path / FILE).write_text(text)
        record(tmp_path, "one", FIRST)
        assert set(read(tmp_path)) == {"one"}
