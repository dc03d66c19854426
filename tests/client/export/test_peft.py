import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client.exporting import export_to
from client.opening import Place
from common.errors import UserError

Make = Callable[..., Any]


def test_the_directory_has_what_peft_loads_and_nothing_of_fedpeft(make_adapter: Make, tmp_path: Path) -> None:
    list(export_to("peft", make_adapter().place, tmp_path / "out"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "head.safetensors",
        "task.json",
    }
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["peft_type"] == "LORA"


@pytest.mark.parametrize("override", ["peft={method='bitfit'}", "peft={method='lora', private=['*lora_B*']}"])
def test_what_peft_does_not_know_is_refused(override: str, make_adapter: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no PEFT directory: .* use --format merged, int8 or onnx"):
        list(export_to("peft", make_adapter(override).place, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_format_that_does_not_exist_is_refused(make_adapter: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--format = 'gguf' does not exist; there are: int8, merged, onnx, peft"):
        list(export_to("gguf", make_adapter().place, tmp_path / "out"))


@pytest.mark.parametrize("name", ["peft", "int8", "onnx"])
def test_a_whole_model_is_not_exported_again(name: str, make_adapter: Make, tmp_path: Path) -> None:
    list(export_to("merged", make_adapter().place, tmp_path / "whole"))
    with pytest.raises(UserError, match="was exported whole"):
        list(export_to(name, Place(tmp_path / "whole", tmp_path / "whole"), tmp_path / "out"))


def test_data_are_for_int8(make_adapter: Make, notes: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--data is for --format int8"):
        list(export_to("peft", make_adapter().place, tmp_path / "out", data=notes))
