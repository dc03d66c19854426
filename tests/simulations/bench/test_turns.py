"""Contenders that are scripts of this test."""

import sys
from pathlib import Path

import pytest

from common.errors import UserError
from simulations.bench.process_tree import tree
from simulations.bench.turns import Contender, module, play_turns, script

pytestmark = pytest.mark.processes
PLAYING = """
import os, sys, time
from simulations.bench.turns import Turns, serve

def play(turns: Turns) -> None:
    print("noise on the standard output", flush=True)
    while True:
        with open(sys.argv[1], "a") as file: file.write(sys.argv[2])
        end = time.process_time() + 0.1
        while time.process_time() < end: pass
        turns.done(pid=os.getpid())

serve(play)
"""
ROOT = str(Path(__file__).resolve().parents[3])


def contender(folder: Path, name: str, text: str = PLAYING) -> Contender:
    path = folder / f"{name}.py"
    path.write_text(text)
    return Contender(name, script(sys.executable, path, str(folder / "order"), name), {"PYTHONPATH": ROOT})


def test_all_start_then_play_in_turns_of_alternating_order_then_once_for_memory(tmp_path: Path) -> None:
    played = play_turns([contender(tmp_path, name) for name in "abc"], 3)
    assert (tmp_path / "order").read_text() == "abc" + "abc" + "cba" + "abc" + "abc"
    for each in played.values():
        assert len(each.seconds) == len(each.cpu_seconds) == 3
        assert min(each.seconds) >= 0.1
        assert 0.05 < min(each.cpu_seconds) <= max(each.cpu_seconds) < 1
        assert each.startup_s > 0.1
        assert 5 < each.peak_mb < 200
        assert tree(int(each.also["pid"])) == []


def test_one_that_fails_says_why_and_the_others_end(tmp_path: Path) -> None:
    failing = contender(tmp_path, "b", PLAYING.replace("turns.done(pid=os.getpid())", "sys.exit('no such thing')"))
    with pytest.raises(UserError, match="contender b plays no more: exit code 1, no such thing"):
        play_turns([contender(tmp_path, "a"), failing], 1)


def test_one_that_ends_between_two_rounds_is_found(tmp_path: Path) -> None:
    ending = PLAYING.replace("while True:", "for _ in range(2):")
    with pytest.raises(UserError, match=r"contender a plays no more: exit code 0, noise"):
        play_turns([contender(tmp_path, "a", ending)], 3)


def test_a_module_of_ours_is_run_by_this_python() -> None:
    assert module("simulations.bench", "x") == (sys.executable, "-m", "simulations.bench", "x")
