"""A merged model's code runs for every task without fedpeft, on images of 16 bits too."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.export._readme import merged_readme
from client.exporting import export_to
from client.opening import Place, open_model
from client.prediction import predict
from client.rows import read_inputs
from common.adapter_folder import write_adapter
from common.preparation import prepare
from simulations.catalogue import base_folder, load, rows_path

TASKS = ["quick-labels", "quick-scores", "quick-tokens", "quick-images", "quick-images-conv", "quick-causal-lm"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TASKS)
def test_the_code_predicts_what_the_adapter_does(name: str, tmp_path: Path) -> None:
    study = load(name, overrides=["training.precision=fp32"])
    base, rng = base_folder(study, tmp_path / "scratch"), np.random.default_rng(3)
    bundle = prepare(study, base, tmp_path / "bundle")
    state = {n: rng.normal(0, 0.1, a.shape).astype(np.float32) for n, a in bundle.initial.items()}
    write_adapter(tmp_path / "adapter", bundle, state, card="")
    place, rows = Place(tmp_path / "adapter", base), rows_path(study, tmp_path / "scratch")
    list(export_to("merged", place, tmp_path / "out"))
    inputs = list(read_inputs(rows, study).inputs)
    code = re.findall(r"```python\n(.*?)```", (tmp_path / "out" / "README.md").read_text(), flags=re.DOTALL)[0]
    code = code.replace("path/to/this-folder", str(tmp_path / "out"))
    names: dict[str, Any] = {}
    exec(re.sub(r"^(texts|images) = .*$", lambda found: f"{found[1]} = {inputs!r}", code, flags=re.MULTILINE), names)
    predicted = predict(place.folder, rows, base_folder=base)
    if "probabilities" in names:
        wanted = np.array([list(row.values())[1:] for row in predicted.rows], dtype=float)
        np.testing.assert_allclose(names["probabilities"], wanted, atol=1e-5)
        return
    found = names.get("predictions", names.get("completions"))
    same = np.allclose if name == "quick-scores" else lambda a, b: a == b
    assert same(found, predicted.column("prediction"))


def test_a_decoder_s_warning_goes_with_it(tmp_path: Path) -> None:
    study = load("quick-causal-lm", overrides=["training.precision=fp32"])
    base = base_folder(study, tmp_path / "scratch")
    bundle = prepare(study, base, tmp_path / "bundle")
    write_adapter(tmp_path / "adapter", bundle, dict(bundle.initial), card="")
    assert "may have memorised" in merged_readme(open_model(Place(tmp_path / "adapter", base)))
