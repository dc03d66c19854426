"""The environment after `silence`, as the libraries themselves read it."""

import logging
import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from common.quiet import CALM, NO_REPORTING, OFFLINE, QUIET, silence, silence_libraries, violations

ENVIRONMENTS = st.dictionaries(st.sampled_from([*QUIET, "PATH", "HOME"]), st.text(max_size=5))


@given(ENVIRONMENTS, st.booleans())
def test_silence_overrides_and_leaves_the_rest(environ: dict[str, str], hub: bool) -> None:
    after = dict(environ)
    silence(after, hub=hub)
    once = dict(after)
    silence(after, hub=hub)
    assert after == once
    assert {k: v for k, v in after.items() if k not in QUIET} == {k: v for k, v in environ.items() if k not in QUIET}
    assert all(after[name] == value for name, value in {**NO_REPORTING, **CALM}.items())
    assert all(after[name] == ("0" if hub else "1") for name in OFFLINE)


@given(ENVIRONMENTS)
def test_violations_are_what_silence_would_change(environ: dict[str, str]) -> None:
    after = dict(environ)
    silence(after)
    assert violations(after) == {}
    changed = {name for name in {**NO_REPORTING, **OFFLINE} if environ.get(name) != after[name]}
    assert set(violations(environ)) == changed


def test_the_libraries_read_these_names() -> None:
    """Flower and Hugging Face rename variables between versions; ask them, not our table."""
    program = (
        "from flwr.supercore import telemetry, constant as c\n"
        "from flwr.common import constant as d\n"
        "from huggingface_hub import constants as h\n"
        "from huggingface_hub.utils import are_progress_bars_disabled\n"
        "import os\n"
        "assert telemetry.FLWR_TELEMETRY_ENABLED == '0'\n"
        "assert os.environ[c.FLWR_DISABLE_UPDATE_CHECK] == '1'\n"
        "assert os.environ[d.FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION] == '1'\n"
        "assert h.HF_HUB_OFFLINE and h.HF_HUB_DISABLE_TELEMETRY and h.HF_HUB_DISABLE_UPDATE_CHECK\n"
        "assert are_progress_bars_disabled()\n"
    )
    environ = {**os.environ, "FLWR_TELEMETRY_ENABLED": "1", "HF_HUB_OFFLINE": "0"}
    silence(environ)
    subprocess.run([sys.executable, "-c", program], env=environ, check=True)


def test_libraries_already_imported_are_quietened() -> None:
    program = (
        "import transformers.utils.logging as t, huggingface_hub.utils as h\n"
        "from common.quiet import silence_libraries\n"
        "t.enable_progress_bar(); t.set_verbosity_info(); h.enable_progress_bars()\n"
        "silence_libraries()\n"
        "assert not t.is_progress_bar_enabled() and t.get_verbosity() == t.ERROR\n"
        "assert h.are_progress_bars_disabled()\n"
    )
    environ = {name: value for name, value in os.environ.items() if name not in QUIET}
    subprocess.run([sys.executable, "-c", program], env=environ, check=True)


def test_silence_libraries_imports_nothing() -> None:
    program = (
        "import sys\n"
        "from common.quiet import silence_libraries\n"
        "silence_libraries()\n"
        "assert not {'torch', 'transformers', 'huggingface_hub', 'flwr', 'ray'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_only_levels_change() -> None:
    before = logging.getLogger("fedpeft").level
    silence_libraries()
    assert logging.getLogger("fedpeft").level == before
