"""The command as a shell sees it: exit codes, one line on stderr, and a start without heavy imports."""

import errno
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

from common.command import COMMANDS, PACKAGES, check_packages, locate_packages, main
from common.errors import ParticipationError, SchemaError, StudyError, UserError

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"flwr", "matplotlib", "numpy", "pandas", "peft", "pydantic", "ray", "sklearn", "torch", "transformers"}
FAILING = """
import builtins
import typer
from common import errors

def fail(kind: str, text: str) -> None:
    raise (getattr(errors, kind, None) or getattr(builtins, kind))(text)

def register(app: typer.Typer) -> None:
    app.command("fail")(fail)
"""


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "failing_commands.py").write_text(FAILING)
    monkeypatch.syspath_prepend(tmp_path)
    return ["failing_commands"]


def run(*arguments: str, commands: Sequence[str] = COMMANDS, **environ: str) -> subprocess.CompletedProcess[str]:
    program = f"import sys; from common.command import main; sys.exit(main(commands={list(commands)!r}))"
    # -P: as with the installed script, the current folder is not on the path.
    command = [sys.executable, "-P", "-c", program, *arguments]
    return subprocess.run(command, env={**os.environ, **environ}, capture_output=True, text=True, check=False)


def test_the_entry_point_is_main() -> None:
    (script,) = entry_points(group="console_scripts", name="fedpeft")
    assert script.load() is main


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"fedpeft {version('fedpeft')}\n")


def test_help_imports_nothing_heavy_and_names_every_command() -> None:
    program = (
        "import sys\n"
        "from common.command import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "finally:\n"
        f"    sys.stderr.write(' '.join({HEAVY!r} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "doctor" in done.stdout


def test_the_help_of_a_command_explains_its_arguments() -> None:
    """click and typer must go together for that: a pair that did not left every argument without a word."""
    assert "The folder of a finished run." in run("report", "--help", COLUMNS="120").stdout


def test_wrong_usage_exits_2() -> None:
    done = run("no-such-command")
    assert done.returncode == 2
    assert "no-such-command" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("doctor --no-such", "no such option '--no-such'; see fedpeft doctor --help"),
        ("docto", "no such command 'docto'. Did you mean 'doctor'?; see fedpeft --help"),
        ("doctor more", "got unexpected extra argument (more); see fedpeft doctor --help"),
    ],
)
def test_wrong_usage_is_one_line(capsys: pytest.CaptureFixture[str], words: str, said: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words.split())
    assert stop.value.code == 2
    assert capsys.readouterr() == ("", f"fedpeft: {said}\n")


@pytest.mark.parametrize("words", ["", "site"])
def test_no_words_show_the_help(capsys: pytest.CaptureFixture[str], words: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words.split())
    assert stop.value.code == 2
    assert "Usage: fedpeft" in capsys.readouterr().out


@pytest.mark.parametrize(("kind", "code"), [(UserError, 2), (StudyError, 2), (ParticipationError, 3)])
def test_our_errors_are_one_line(
    failing: list[str], capsys: pytest.CaptureFixture[str], kind: type[Exception], code: int
) -> None:
    assert main(["fail", kind.__name__, "key 'x'\n  is wrong"], commands=failing) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", "fedpeft: key 'x' is wrong\n")


def test_an_error_s_text_does_not_command_the_terminal(failing: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(["fail", "UserError", "a bundle's \x1b[2Ktext"], commands=failing)
    assert capsys.readouterr().err == "fedpeft: a bundle's ?[2Ktext\n"


@pytest.mark.parametrize("kind", [SchemaError, ValueError, KeyError])
def test_defects_pass_with_their_traceback(failing: list[str], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        main(["fail", kind.__name__, "broken"], commands=failing)


@pytest.mark.parametrize(("number", "is_mendable"), [(errno.EROFS, True), (errno.ENOSPC, True), (errno.EBADF, False)])
def test_a_disk_that_cannot_be_written_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    is_mendable: bool,
) -> None:
    text = FAILING.replace("raise", f'raise OSError({number}, "the reason", "a/b") or')
    (tmp_path / f"disk{number}_commands.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with nullcontext() if is_mendable else pytest.raises(OSError, match="the reason"):
        assert main(["fail", "OSError", ""], commands=[f"disk{number}_commands"]) == 2
        assert capsys.readouterr().err.startswith("fedpeft: a/b: the reason; make room")


def test_ctrl_c_exits_130(failing: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fail", "KeyboardInterrupt", ""], commands=failing)
    assert stop.value.code == 130


def test_a_traceback_shows_no_local_variables(tmp_path: Path) -> None:
    (tmp_path / "secretive.py").write_text(
        "def boom() -> None:\n    patient = 'Jane ' + 'Doe'\n    raise ValueError('broken')\n"
        "def register(app: object) -> None:\n    app.command('boom')(boom)\n"
    )
    done = run("boom", commands=["secretive"], PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "ValueError: broken" in done.stderr
    assert "Jane Doe" not in done.stderr + done.stdout


def test_the_environment_is_silenced_before_a_command_runs(tmp_path: Path) -> None:
    (tmp_path / "shows.py").write_text(
        "import os\n"
        "def show() -> None:\n    print(os.environ['FLWR_TELEMETRY_ENABLED'], os.environ['HF_HUB_OFFLINE'])\n"
        "def register(app: object) -> None:\n    app.command('show')(show)\n"
    )
    program = "import sys; from common.command import main; sys.exit(main(commands=['shows']))"
    environ = {**os.environ, "PYTHONPATH": str(tmp_path), "FLWR_TELEMETRY_ENABLED": "1", "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", program, "show"], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "0 1\n"


def test_the_packages_are_this_project_s() -> None:
    check_packages(ROOT)
    assert locate_packages() == {name: ROOT / name for name in PACKAGES}


@pytest.mark.parametrize("regular", [True, False], ids=["package", "bare folder"])
@pytest.mark.parametrize("name", PACKAGES[1:])
def test_a_foreign_package_of_the_same_name_is_named(tmp_path: Path, name: str, regular: bool) -> None:
    folder = tmp_path / name
    folder.mkdir()
    if regular:
        (folder / "__init__.py").write_text("")
    done = run("--version", PYTHONPATH=str(tmp_path))
    # A folder without __init__.py gives way to our package, further down the path.
    assert done.returncode == (2 if regular else 0)
    if regular:
        assert str(folder) in done.stderr
        assert "environment of its own" in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'common'"):
        check_packages(tmp_path)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_modules_register(name: str) -> None:
    from importlib import import_module

    assert callable(import_module(name).register)
