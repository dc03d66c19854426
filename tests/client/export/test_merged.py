"""A merged model predicts what the adapter does, through fedpeft and through transformers alone."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModel

from client.exporting import export_to
from client.opening import Place, open_model
from client.prediction import predict
from common import plugins
from common.errors import BundleError, UserError

BESIDE = ("bottleneck", "p-tuning", "prefix", "prompt")
MERGEABLE = [name for name in plugins.available("common.peft_methods") if name not in BESIDE]
VARIANTS = [
    "method='lora', dora=true, rslora=true, ranks={value=3}",
    "method='lora', init='orthogonal'",
    "method='hybrid', first={method='lora', dora=true}, second={method='bitfit'}",
    "method='hybrid', first={method='last-layers', layers=1}, second={method='ia3'}",
]
Make = Callable[..., Any]


def chances(folder: Path, notes: Path, base: Path, private: Path | None = None) -> np.ndarray:
    return np.array(predict(folder, notes, base_folder=base, private=private).column("probability_yes"), dtype=float)


@pytest.mark.parametrize("peft", [*(f"method={name!r}" for name in MERGEABLE), *VARIANTS])
def test_a_merged_model_predicts_what_the_adapter_does(
    peft: str, make_adapter: Make, notes: Path, tmp_path: Path
) -> None:
    made = make_adapter(f"peft={{{peft}}}")
    lines = list(export_to("merged", made.place, tmp_path / "out"))
    wanted = chances(made.place.folder, notes, made.place.base)
    np.testing.assert_allclose(chances(tmp_path / "out", notes, tmp_path / "out"), wanted, atol=1e-5)
    assert np.ptp(wanted) > 1e-3
    assert "loaded again, its outputs are the adapter's to within" in lines[1]


def test_what_is_carried_is_merged_too(make_adapter: Make, notes: Path, tmp_path: Path) -> None:
    made = make_adapter("aggregation.name='sample-carries'", carried=3)
    list(export_to("merged", made.place, tmp_path / "out"))
    wanted = chances(made.place.folder, notes, made.place.base)
    np.testing.assert_allclose(chances(tmp_path / "out", notes, tmp_path / "out"), wanted, atol=1e-5)


def test_a_site_s_own_tensors_are_merged_too(make_adapter: Make, notes: Path, tmp_path: Path) -> None:
    made = make_adapter("peft.private=['head.*', '*lora_B*']")
    with pytest.raises(BundleError, match="with --private"):
        list(export_to("merged", made.place, tmp_path / "out"))
    list(export_to("merged", made.place, tmp_path / "out", private=made.private))
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0
    wanted = chances(made.place.folder, notes, made.place.base, made.private)
    np.testing.assert_allclose(chances(tmp_path / "out", notes, tmp_path / "out"), wanted, atol=1e-5)
    with pytest.raises(UserError, match=r"--private: .* was exported whole"):
        predict(tmp_path / "out", notes, base_folder=tmp_path / "out", private=made.private)


# peft 0.21 asks transformers 5.23 for an attribute by its old name; nothing of ours can change that.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.parametrize("peft", ["method='lora', dora=true", "method='ia3'", "method='adalora'"])
def test_the_weights_are_those_that_peft_merges(peft: str, make_adapter: Make, tmp_path: Path) -> None:
    made = make_adapter(f"peft={{{peft}}}")
    list(export_to("merged", made.place, tmp_path / "out"))
    model = PeftModel.from_pretrained(
        AutoModel.from_pretrained(made.place.base, add_pooling_layer=False), made.place.folder
    )
    wanted, found = model.merge_and_unload().state_dict(), load_file(tmp_path / "out" / "model.safetensors")
    assert set(found) <= set(wanted)
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, wanted[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", BESIDE)
def test_what_stands_beside_the_weights_is_refused(method: str, make_adapter: Make, tmp_path: Path) -> None:
    made = make_adapter(f"peft={{method={method!r}}}")
    with pytest.raises(UserError, match=rf"peft.method = '{method}' trains what stands beside .* int8 or onnx"):
        list(export_to("merged", made.place, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_hybrid_with_such_a_part_is_refused(make_adapter: Make, tmp_path: Path) -> None:
    made = make_adapter("peft={method='hybrid', first={method='lora'}, second={method='bottleneck'}}")
    with pytest.raises(UserError, match="what bottleneck trained cannot be merged"):
        list(export_to("merged", made.place, tmp_path / "out"))


def test_the_readme_s_code_needs_no_fedpeft_and_predicts_the_same(
    make_adapter: Make, notes: Path, tmp_path: Path
) -> None:
    made = make_adapter()
    list(export_to("merged", made.place, tmp_path / "out"))
    opened = open_model(Place(tmp_path / "out", tmp_path / "out"))
    texts = ["fever and cough", "rash", "pulse normal, sleep reduced and fever"]
    names: dict[str, Any] = {}
    exec(filled((tmp_path / "out" / "README.md").read_text(), tmp_path / "out", texts), names)
    bench = opened.bench
    batch = bench.task.collate(bench.task.encode(bench.reader, texts, None, max_length=bench.max_length), pad_id=0)
    with torch.inference_mode():
        wanted = bench.task.logits(bench.model.eval(), bench.head, batch).softmax(dim=-1)
    np.testing.assert_allclose(names["probabilities"], wanted, atol=1e-5)


def filled(readme: str, folder: Path, texts: list[str]) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert "peft" not in code.casefold()
    code = code.replace("path/to/this-folder", str(folder))
    return re.sub(r"^texts = .*$", f"texts = {texts!r}", code, flags=re.MULTILINE)


def test_a_folder_that_is_in_use_is_left_alone(make_adapter: Make, tmp_path: Path) -> None:
    made = make_adapter()
    with pytest.raises(UserError, match=r"--out .* is there and not empty"):
        list(export_to("merged", made.place, made.place.folder))


def test_weights_that_were_changed_are_refused(make_adapter: Make, tmp_path: Path) -> None:
    list(export_to("merged", make_adapter().place, tmp_path / "out"))
    content = bytearray((tmp_path / "out" / "model.safetensors").read_bytes())
    content[-2] ^= 1
    (tmp_path / "out" / "model.safetensors").write_bytes(bytes(content))
    with pytest.raises(BundleError, match=r"model\.safetensors in .* it was changed"):
        open_model(Place(tmp_path / "out", tmp_path / "out"))
