"""A file that only grows: of what the disk does not take whole nothing is left."""

import errno
import os
from pathlib import Path

import pytest

from simulations.crowd.appending import Appending


def test_what_a_full_disk_does_not_take_whole_it_does_not_have(tmp_path: Path) -> None:
    """The disk takes four bytes of each writing, and no more than 10 in all."""

    def write(descriptor: int, content: memoryview) -> int:
        part = content[:4]
        if os.fstat(descriptor).st_size + len(part) > 10:
            raise OSError(errno.ENOSPC, "full")
        return os.write(descriptor, part)

    file = Appending(tmp_path / "f", write)
    assert file.append(b"1234567") == 0
    with pytest.raises(OSError, match="full"):
        file.append(b"abcdef")
    assert (tmp_path / "f").read_bytes() == b"1234567"
    assert file.append(b"de") == 7
    assert (tmp_path / "f").read_bytes() == b"1234567de"


def test_a_file_that_is_there_goes_on_and_is_closed_once(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    file = Appending(tmp_path / "f")
    assert file.append(b"d") == 3
    file.close()
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.append(b"e")
    assert (tmp_path / "f").read_bytes() == b"abcd"
