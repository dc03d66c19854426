from pathlib import Path

import numpy as np
import pytest

from server import checkpoint
from simulations.audit.auditing import Options, audit
from simulations.audit.opened import open_run
from simulations.audit.uploads import last_upload
from simulations.run import run

FAST = ["training.local_epochs=1", "evaluation.resamples=0", "training.precision=fp32"]


@pytest.mark.parametrize(
    "overrides",
    [(), ("compression.method=int8",), ("compression={method='top-k', density=0.2}",), ("aggregation.name=ffa-lora",)],
)
def test_uploads_are_what_the_server_averaged(overrides: tuple[str, ...], tmp_path: Path) -> None:
    """After one round of plain averaging, state = initial + sum of n_k / n times the upload of site k."""
    run("quick", out=tmp_path / "run", rounds=1, overrides=[*FAST, *overrides], comparison=False)
    opened = open_run(tmp_path / "run")
    facts = opened.sites.folder.facts()
    state = checkpoint.read(opened.sites.folder.checkpoint, study=opened.study.digest, seed=facts.seed)
    sizes = {site: len(rows.train) for site, rows in opened.sites.rows.items()}
    uploads = {site: last_upload(opened, site) for site in sizes}
    initial = opened.initial("east")
    for name, array in state.shared.items():
        moved = np.zeros(array.shape)
        for site, upload in uploads.items():
            assert upload is not None
            assert upload.round == 1
            if name in upload.update:
                moved += sizes[site] / sum(sizes.values()) * upload.update[name]
        assert array == pytest.approx(initial[name] + moved, abs=1e-6)


def test_a_site_that_never_answered_has_none(tmp_path: Path) -> None:
    run("quick", out=tmp_path / "run", rounds=1, overrides=FAST, comparison=False)
    for file in (tmp_path / "run" / "sites" / "west").rglob("train-*.safetensors"):
        file.unlink()
    assert last_upload(open_run(tmp_path / "run"), "west") is None
    found = audit(tmp_path / "run", Options(resamples=20))
    assert found.tokens.missing is not None
    assert found.tokens.missing.startswith("not measured at west: no upload is kept")
    assert {setting.scope for setting in found.tokens.settings if setting.counts} == {"east", "north"}


def test_a_factor_that_the_server_writes_anew_hides_what_b_says(tmp_path: Path) -> None:
    overrides = [*FAST, "aggregation.name=fedsvd"]
    run("quick", out=tmp_path / "run", rounds=2, overrides=overrides, comparison=False)
    found = audit(tmp_path / "run", Options(resamples=20))
    assert (
        found.tokens.missing
        == "not measured at east, north, west: no upload is kept that holds what the attack looks at"
    )
    assert found.tokens.settings == ()
