"""The folder of an export: there whole or not at all."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from common.base_files import MANIFEST_PATTERNS
from common.errors import UserError


@contextmanager
def new_folder(out: Path, *, is_private: bool = False) -> Iterator[Path]:
    """Give a folder beside `out` that becomes it at the end, and goes if anything fails.

    is_private: it holds a site's own tensors, so that no other user may look into it.

    Raises:
        UserError: `out` is there, and not an empty folder.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out} is there and not empty; name a new folder")
    beside = out.with_name(f".{out.name}.{secrets.token_hex(6)}")
    beside.parent.mkdir(parents=True, exist_ok=True)
    beside.mkdir(mode=0o700 if is_private else 0o777)
    try:
        yield beside
        if out.exists():
            out.rmdir()
        beside.rename(out)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def size_text(size_bytes: int) -> str:
    """Return a size for people.

    >>> size_text(90_266_000), size_text(61_420)
    ('90.3 MB', '61 kB')
    """
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:.0f} kB"


def copy_reader(base: Path, folder: Path) -> None:
    """Copy what the base model's folder says of reading inputs: its tokenizer, or its images' settings."""
    for path in base.iterdir():
        named = any(fnmatchcase(path.name, pattern) for pattern in MANIFEST_PATTERNS)
        if path.is_file() and named and ".safetensors" not in path.name and path.name != "config.json":
            shutil.copyfile(path, folder / path.name)
