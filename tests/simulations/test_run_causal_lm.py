"""The bundled `quick-causal-lm`: three rounds teach a decoder to reply, and what is exported writes."""

from pathlib import Path

from client.prediction import predict
from simulations.run import run
from simulations.tiny_models import tiny_llama


def test_three_rounds_lower_the_perplexity_and_the_adapter_replies(tmp_path: Path) -> None:
    overrides = ["evaluation.resamples=10"]
    results = run("quick-causal-lm", out=tmp_path / "run", seed=1, overrides=overrides, comparison=False).content
    assert results["metrics"][0]["name"] == "perplexity"
    before = results["initial"]["validation"]["pooled"]["perplexity"]["value"]
    after = [entry["validation"]["pooled"]["perplexity"]["value"] for entry in results["rounds"]]
    assert len(after) == 3
    assert before / 4 > after[0] > after[2] > 1
    tiny_llama.write(tmp_path / "model")
    (tmp_path / "rows.csv").write_text(
        'age,note\n70,"reports fever and cough and chills, pulse normal"\n30,"reports rash and itching and sprain"\n'
    )
    written = predict(tmp_path / "run" / "adapter", tmp_path / "rows.csv", base_folder=tmp_path / "model")
    infection, none = written.column("prediction")
    assert str(infection).startswith("infection likely, take blood and start antibiotics")
    assert str(none) == "no infection, send home with advice"
