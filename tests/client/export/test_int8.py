"""Weights in 8 bits are what the formula says, give nearly the same predictions, and are a quarter of the size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from client.exporting import export_to
from client.prediction import predict
from common import plugins

Make = Callable[..., Any]
METHODS = plugins.available("common.peft_methods")


@pytest.mark.parametrize("method", METHODS)
def test_predictions_stay_close(method: str, make_adapter: Make, notes: Path, tmp_path: Path) -> None:
    made = make_adapter(f"peft={{method={method!r}}}")
    list(export_to("int8", made.place, tmp_path / "out"))
    wanted = np.array(predict(made.place.folder, notes, base_folder=made.place.base).column("probability_yes"))
    found = np.array(predict(tmp_path / "out", notes, base_folder=tmp_path / "out").column("probability_yes"))
    assert 0 < np.abs(found - wanted).max() < 0.1
    assert np.corrcoef(found.astype(float), wanted.astype(float))[0, 1] > 0.99


def test_the_file_has_each_linear_weight_in_8_bits(make_adapter: Make, tmp_path: Path) -> None:
    """q and s by plain numpy, from the merged weights."""
    made = make_adapter()
    list(export_to("merged", made.place, tmp_path / "merged"))
    list(export_to("int8", made.place, tmp_path / "int8"))
    full, small = load_file(tmp_path / "merged/model.safetensors"), load_file(tmp_path / "int8/model.safetensors")
    for name, weight in full.items():
        if name == "embeddings.word_embeddings.weight" or (weight.ndim == 2 and "embeddings" not in name):
            scale = np.abs(weight).max(axis=1, keepdims=True) / np.float32(127)
            assert small[name].dtype == np.int8
            np.testing.assert_array_equal(small[name], np.round(weight / np.where(scale > 0, scale, 1)))
            np.testing.assert_allclose(small[name] * small[name + ".scale"], weight, atol=float(scale.max()) / 2 * 1.01)
        else:
            np.testing.assert_array_equal(small[name], weight)


def test_with_labelled_rows_three_precisions_are_compared(make_adapter: Make, notes: Path, tmp_path: Path) -> None:
    made = make_adapter("training.precision='auto'")
    lines = list(export_to("int8", made.place, tmp_path / "out", data=notes))
    assert [line.split()[0] for line in lines[4:7]] == ["fp32", "bf16", "int8"]
    assert "AUROC" in lines[3]
    assert all(0 <= float(line.split()[-1]) <= 1 for line in lines[4:7])
