"""A process that has imported everything once and plays each `fedpeft` command in a fork of itself.

An import of torch, transformers and Flower takes seconds; a fork does not. Each command is a real process all the same:
it has a pid, is killed by it, and writes to files.

One JSON line asks: {"arguments", "out", "err", "cwd", "kill_at"}. Two lines answer: the pid at once, and when it has
ended {"code", "writes"}: its exit code, negative for a signal, as `subprocess` has it, and how often it had written.

`kill_at = n` kills the process with SIGKILL just before it opens for writing, renames or removes a file, or makes or
removes a folder below `cwd` for the n-th time: every state that a crash can leave on the disk is one of these, given
that files are written aside and renamed. `null` only counts.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")


def warm_up() -> None:
    """Import everything, prepare one study and draw nothing: autograd must not have run before a fork."""
    modules = [
        "client.prediction",
        "matplotlib.backends.backend_svg",
        "matplotlib.figure",
        "pyarrow.parquet",
        "server.report.charts",
        "simulations.inprocess",
        "simulations.preview",
        "simulations.run",
        "server.terminal",
        "sklearn.linear_model",
    ]
    for name in modules:
        import_module(name)
    from simulations.preview import prepare_bundle

    with TemporaryDirectory() as folder:
        prepare_bundle("quick", Path(folder) / "bundle", [])


def play(asked: dict[str, Any], count: int) -> None:
    """Be the command: never returns."""
    os.chdir(asked["cwd"])
    for stream, path in ((1, asked["out"]), (2, asked["err"])):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["fedpeft", *asked["arguments"]]
    watch(Path(asked["cwd"]), asked["kill_at"], count)
    from common.command import main

    sys.exit(main())


def watch(folder: Path, kill_at: int | None, count: int) -> None:
    done = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        if not (event in CHANGES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR))):
            return
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else "/"
        if path.startswith("/") and not path.startswith(str(folder)):
            return
        done += 1
        if done == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        os.pwrite(count, str(done).encode(), 0)

    sys.addaudithook(hook)


def serve() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    count = os.memfd_create("writes")
    for line in sys.stdin:
        os.ftruncate(count, 0)
        pid = os.fork()
        if pid == 0:
            play(json.loads(line), count)
        answer(pid)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        answer({"code": code, "writes": int(os.pread(count, 20, 0) or 0)})


def answer(value: object) -> None:
    os.write(1, (json.dumps(value) + "\n").encode())


@dataclass(frozen=True)
class Ended:
    """What is left of a command."""

    code: int
    writes: int
    out: str
    err: str


class Running:
    """A command that runs; `folder` holds its output."""

    def __init__(self, server: "subprocess.Popen[bytes]", folder: Path) -> None:
        self._server, self._folder = server, folder
        self.pid = int(self._line())

    def _line(self) -> bytes:
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        assert line, "the warm process has died"
        return line

    def wait(self) -> Ended:
        """Return when the command has ended."""
        found = json.loads(self._line())
        return Ended(**found, **{name: (self._folder / name).read_text() for name in ("out", "err")})

    def signal_when(self, reached: Callable[[], bool], number: signal.Signals) -> Ended:
        """Send a signal as soon as something holds; the command may also end before."""
        while not reached():
            if select.select([self._server.stdout], [], [], 0.002)[0]:
                return self.wait()
        os.kill(self.pid, number)
        return self.wait()


class Warm:
    """The command `fedpeft`, ready at once: `warm(folder, "simulate", ...)`; `start` does not wait for its end."""

    def __init__(self, server: "subprocess.Popen[bytes]") -> None:
        self._server = server

    def start(self, folder: Path, *arguments: object, kill_at: int | None = None) -> Running:
        asked = {
            "arguments": [str(argument) for argument in arguments],
            "cwd": str(folder),
            "out": str(folder / "out"),
            "err": str(folder / "err"),
            "kill_at": kill_at,
        }
        assert self._server.stdin is not None
        self._server.stdin.write((json.dumps(asked) + "\n").encode())
        self._server.stdin.flush()
        return Running(self._server, folder)

    def __call__(self, folder: Path, *arguments: object, kill_at: int | None = None) -> Ended:
        return self.start(folder, *arguments, kill_at=kill_at).wait()


@contextmanager
def warm_command() -> Iterator[Warm]:
    """Lend the warm command; it ends with the block."""
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environ
    ) as server:
        yield Warm(server)
        server.kill()


if __name__ == "__main__":
    from common.quiet import silence

    silence(os.environ)
    warm_up()
    serve()
