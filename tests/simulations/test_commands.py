import subprocess
import sys
from pathlib import Path

import pytest

from common.command import main


def test_a_notebook_imports_nothing_that_reports_before_reporting_is_off() -> None:
    code = "import sys, simulations.run; print(sorted({'flwr', 'ray', 'torch', 'huggingface_hub'} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_study_check_knows_the_strategies_of_the_users_own_folder(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "lazy_mean.py").write_text("from server.aggregation.fedavg import FedAvg\n\nbuild = FedAvg\n")
    chosen = ["study", "show", "quick", "--set", "aggregation.name=lazy-mean"]

    assert main(chosen) == 2
    assert "lazy-mean" in capsys.readouterr().err
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*chosen, "--plugins", str(folder)])
    assert '"lazy-mean"' in capsys.readouterr().out
