"""What onnxruntime computes from the file is what `fedpeft predict` says, at any length and batch size."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from client.export.onnx import check_deviation, check_installed
from client.exporting import export_to
from client.opening import Place, open_model
from client.prediction import predict
from client.rows import read_inputs
from common.adapter_folder import write_adapter
from common.errors import UserError
from common.preparation import prepare
from simulations.catalogue import base_folder, load, rows_path

Make = Callable[..., Any]
BESIDE = ("bottleneck", "p-tuning", "prompt")


def run_readme(folder: Path, texts: list[str]) -> dict[str, Any]:
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), flags=re.DOTALL)
    assert "torch" not in code
    code = code.replace("path/to/this-folder", str(folder))
    names: dict[str, Any] = {}
    exec(re.sub(r"^(texts|images) = .*$", lambda found: f"{found[1]} = {texts!r}", code, flags=re.MULTILINE), names)
    return names


def test_the_readme_s_code_predicts_what_fedpeft_does(make_adapter: Make, notes: Path, tmp_path: Path) -> None:
    made = make_adapter("aggregation.name='sample-carries'", carried=2)
    lines = list(export_to("onnx", made.place, tmp_path / "out"))
    assert "onnxruntime's outputs are torch's to within" in lines[1]
    predicted = predict(made.place.folder, notes, base_folder=made.place.base)
    texts = read_inputs(notes, open_model(made.place).study).inputs
    for count in (1, 7, len(texts)):
        found = run_readme(tmp_path / "out", list(texts[:count]))["probabilities"]
        wanted = [predicted.column("probability_no")[:count], predicted.column("probability_yes")[:count]]
        np.testing.assert_allclose(found, np.array(wanted, dtype=float).T, atol=1e-5)

    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    for rows, length in ((1, 3), (5, 17), (33, 40)):
        ids = np.full((rows, length), 6, dtype=np.int64)
        (logits,) = session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        assert logits.shape == (rows, 2)


@pytest.mark.parametrize("method", ["prefix", *(pytest.param(m, marks=pytest.mark.slow) for m in BESIDE)])
def test_what_stands_beside_the_weights_is_traced(method: str, make_adapter: Make, notes: Path, tmp_path: Path) -> None:
    made = make_adapter(f"peft={{method={method!r}}}")
    list(export_to("onnx", made.place, tmp_path / "out"))
    predicted = predict(made.place.folder, notes, base_folder=made.place.base).column("probability_yes")
    texts = read_inputs(notes, open_model(made.place).study).inputs
    found = run_readme(tmp_path / "out", list(texts))["probabilities"]
    np.testing.assert_allclose(found[:, 1], np.array(predicted, dtype=float), atol=1e-5)


@pytest.fixture
def make_other(tmp_path: Path) -> Callable[[str], tuple[Place, Path]]:
    """`make_other("quick-tokens")`: an adapter of random numbers of another bundled study, and its rows."""

    def make(name: str) -> tuple[Place, Path]:
        study = load(name, overrides=["training.precision=fp32"])
        base, rng = base_folder(study, tmp_path / "scratch"), np.random.default_rng(3)
        bundle = prepare(study, base, tmp_path / "bundle")
        state = {n: rng.normal(0, 0.3, a.shape).astype(np.float32) for n, a in bundle.initial.items()}
        write_adapter(tmp_path / "adapter", bundle, state, card="")
        return Place(tmp_path / "adapter", base), rows_path(study, tmp_path / "scratch")

    return make


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quick-labels", "quick-scores", "quick-tokens", "quick-images", "quick-images-conv"])
def test_every_task_of_an_encoder_is_written(name: str, make_other: Make, tmp_path: Path) -> None:
    place, rows = make_other(name)
    list(export_to("onnx", place, tmp_path / "out"))
    found = predict(place.folder, rows, base_folder=place.base)
    study = open_model(place).study
    names = run_readme(tmp_path / "out", list(read_inputs(rows, study).inputs))
    if "probabilities" in names:
        wanted = np.array([list(row.values())[1:] for row in found.rows], dtype=float)
        np.testing.assert_allclose(names["probabilities"], wanted, atol=1e-5)
    elif name == "quick-tokens":
        assert names["predictions"] == found.column("prediction")
    else:
        np.testing.assert_allclose(names["predictions"], np.array(found.column("prediction"), dtype=float), rtol=1e-4)


def test_a_decoder_is_refused(make_other: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is for encoders, and this study's model writes text"):
        list(export_to("onnx", make_other("quick-causal-lm")[0], tmp_path / "out"))


@pytest.mark.parametrize("found", [1.1e-4, float("inf"), float("nan")])
def test_a_file_that_computes_something_else_is_not_left(found: float) -> None:
    with pytest.raises(UserError, match=r"onnxruntime's outputs differ from torch's by .* expected at most 1e-04"):
        check_deviation(found)
    check_deviation(1e-4)


def test_without_the_extra_one_line_says_what_to_install() -> None:
    with pytest.raises(UserError, match=r"needs onnx_of_nobody, .* pip install 'fedpeft\[onnx\]'"):
        check_installed(("onnx", "onnx_of_nobody"))
