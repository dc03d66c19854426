"""`fedpeft doctor`: the same facts in both forms, and advice that follows from them."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from common.command import main
from common.doctor import Examination, notes, rows
from common.machine import Bf16, Disk, Gpu

WELL = Examination(
    versions={"python": "3.11.7", "torch": "2.13.0", "ray": None},
    cores=8,
    memory_bytes=64 * 2**30,
    gpus=[Gpu("A100", 80 * 2**30, True)],
    bf16=Bf16("cuda", 8.0),
    disk=Disk(2**40, 1e9),
    network={},
    packages={"server": "here/server"},
)
WITHOUT_TORCH = (
    "import sys\n"
    "class Blocker:\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        if name.split('.')[0] in {'torch', 'transformers', 'peft'}:\n"
    "            raise ImportError(name)\n"
    "sys.meta_path.insert(0, Blocker())\n"
)
RUN = "import sys; from common.command import main; sys.exit(main())\n"


def run(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, "doctor", *arguments]
    environ = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environ).stdout


def test_json_and_table_say_the_same(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads(run(RUN, "--json"))
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["doctor"])  # here, where torch is loaded already
    table = capsys.readouterr().out
    assert found["format"] == 1
    assert found["network"] == {}
    for value in [*filter(None, found["versions"].values()), *found["packages"].values(), *found["notes"]]:
        assert value in table


def test_works_without_torch_and_says_what_that_means() -> None:
    found = json.loads(run(WITHOUT_TORCH + RUN, "--json"))
    assert (found["gpus"], found["bf16"]) == (None, None)
    assert any("torch" in note and "pip install" in note for note in found["notes"])


def test_a_good_machine_needs_no_advice() -> None:
    assert notes(WELL) == []
    table = dict(rows(WELL))
    assert table["GPU"] == "A100 (80.0 GiB, bf16 yes)"
    assert table["bf16"] == "8.0 x fp32 on cuda"
    assert table["disk"] == "1024.0 GiB free, writes 1000 MB/s"
    assert table["ray"] == "not installed"


def test_each_shortcoming_is_one_note() -> None:
    worse = {
        "torch": replace(WELL, gpus=None, bf16=None),
        "no GPU": replace(WELL, gpus=[]),
        "bf16": replace(WELL, bf16=Bf16("cpu", 0.4)),
        "--out": replace(WELL, disk=Disk(2**40, None)),
        "HF_HUB_OFFLINE": replace(WELL, network={"HF_HUB_OFFLINE": "0"}),
    }
    for word, found in worse.items():
        (note,) = notes(found)
        assert word in note
