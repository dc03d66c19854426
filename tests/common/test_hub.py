import subprocess
import sys

CODE = """
import os
from common.base_files import locate
from common.errors import ModelError
from common.quiet import silence

silence(os.environ)
try:
    locate("hub:nobody/nothing@main")
except ModelError as error:
    from huggingface_hub import constants
    print(constants.HF_HUB_OFFLINE, os.environ["HF_HUB_OFFLINE"], "dir:PATH" in str(error))
"""


def test_only_a_hub_study_may_download_and_offline_is_back_afterwards() -> None:
    environ = {"HF_ENDPOINT": "http://127.0.0.1:9", "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}

    done = subprocess.run([sys.executable, "-c", CODE], env=environ, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "1", "True"]
