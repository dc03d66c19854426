import subprocess
import sys
from pathlib import Path

import pytest

from common.command import main
from common.foreseen import foreseen
from common.plans import Foreseen
from common.study import AggregationSection


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


def test_what_an_own_strategy_plans_is_declared_in_its_file_and_then_known_to_sites(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    declared = "    def foresee(self, round_number, site):\n        return Foreseen(proximal_mu=0.5 * round_number)\n"
    head = "from dataclasses import dataclass\n\nfrom common.plans import Foreseen\n"
    head += "from server.aggregation.fedavg import FedAvg\n\n\n@dataclass(frozen=True)\n"
    end = "\n\nbuild, declaration = FedAvg, Pulled\n"
    (folder / "pulled_mean.py").write_text(f"{head}class Pulled:\n{declared}{end}")
    section = AggregationSection(name="pulled-mean")

    assert foreseen(section, 2, "east") == Foreseen()
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["study", "show", "quick", "--set", "aggregation.name=pulled-mean", "--plugins", str(folder)])
    capsys.readouterr()
    assert foreseen(section, 2, "east") == Foreseen(proximal_mu=1.0)
