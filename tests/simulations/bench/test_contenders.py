"""Contenders on a tiny study: they play, and nothing of them is left."""

from pathlib import Path

import pytest

from simulations.bench.contenders import STUDY
from simulations.bench.turns import Contender, module, play_turns

pytestmark = [pytest.mark.processes, pytest.mark.slow]


def test_ours_and_flowers_play_and_leave_nothing_running() -> None:
    names = ("ours", "products", "flower_resident")
    mark = f"{STUDY}=quick"
    commands = {name: module("simulations.bench.contenders", name) for name in names}
    played = play_turns([Contender(name, command, {STUDY: "quick"}) for name, command in commands.items()], 1)
    assert all(each.seconds[0] > 0 and each.startup_s > each.seconds[0] for each in played.values())
    assert played["products"].also["flops"] > 1e6
    # Flower's actors are processes of their own, which have loaded torch too.
    assert played["flower_resident"].peak_mb > 1.5 * played["products"].peak_mb
    assert [path for path in Path("/proc").glob("[0-9]*/environ") if mark.encode() in read(path)] == []


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # another user's, or gone meanwhile
        return b""
