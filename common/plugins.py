"""A folder is a registry: the plugin called `median` of `server.aggregation` is `server/aggregation/median.py`.

A plugin module has `build`, a frozen dataclass whose fields are the plugin's options. Names in a study may use hyphens
where the file has underscores. A plugin module imports without torch, so that a server can list and check them all.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any  # a plugin's options are typed by the plugin

from pydantic import TypeAdapter, ValidationError

from common.errors import StudyError


def available(package: str) -> list[str]:
    """Return the names of the plugins in `package`, sorted, as a study writes them."""
    return list(_shipped(package))


@cache
def _shipped(package: str) -> tuple[str, ...]:
    """Looked up once: a message to a site builds some plugins, and a folder that is installed does not change."""
    folder = Path(importlib.import_module(package).__path__[0])
    return tuple(sorted(p.stem.replace("_", "-") for p in folder.glob("*.py") if not p.stem.startswith("_")))


def load(package: str, name: str, *, key: str) -> ModuleType:
    """Import the plugin `name` of `package`; `key` is the study's key that named it, for the message."""
    names = available(package)
    wanted = name.replace("_", "-")
    extra = f"{package}.{wanted.replace('-', '_')}"
    if wanted not in names and not hasattr(sys.modules.get(extra), "build"):  # a folder of one's own, registered
        raise StudyError(f"{key} = {name!r} does not exist; there are: {', '.join(names)}")
    return importlib.import_module(extra)


def build(package: str, name: str, options: Mapping[str, Any], *, key: str) -> Any:
    """Return the plugin's object with these options checked; unknown options and wrong types are StudyErrors."""
    module = load(package, name, key=key)
    known = [f.name for f in fields(module.build)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise StudyError(f"{key} = {name!r} has no option {unknown[0]!r}; it has: {', '.join(known) or 'none'}")
    try:
        return _adapter(module.build).validate_python(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        where, message = ".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")
        if not where:  # the options do not go together, and the plugin says why
            raise StudyError(f"{key} = {name!r}: {message}") from None
        raise StudyError(f"{key} = {name!r}, option {where}: {message} (found {first['input']!r})") from None


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def register_folder(package: str, folder: Path) -> list[ModuleType]:
    """Import every file of a researcher's own folder as a plugin of `package` (simulation only), and return them."""
    if not folder.is_dir():
        raise StudyError(f"--plugins: {folder} is not a folder")
    registered = []
    for path in sorted(folder.glob("[!_]*.py")):
        if path.stem.replace("_", "-") in available(package):
            raise StudyError(f"--plugins: {path.name} has the name of a plugin that fedpeft ships; rename it")
        spec = importlib.util.spec_from_file_location(f"{package}.{path.stem}", path)
        if spec is None or spec.loader is None:
            raise StudyError(f"--plugins: {path} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        registered.append(module)
    return registered


def registered(package: str) -> list[str]:
    """Return the names of those plugins of `package` that a researcher's own folder has added here so far."""
    names = [name.removeprefix(f"{package}.") for name in sys.modules if name.startswith(f"{package}.")]
    shipped = available(package)
    found = [n.replace("_", "-") for n in names if hasattr(sys.modules[f"{package}.{n}"], "build")]
    return sorted(name for name in found if name not in shipped)


def register_part(module: ModuleType, attribute: str, package: str) -> None:
    """Make what a registered file has under `attribute`, if anything, the plugin of the same name in `package`."""
    if hasattr(module, attribute):
        part = ModuleType(f"{package}.{module.__name__.rpartition('.')[2]}", module.__doc__)
        part.__dict__["build"] = getattr(module, attribute)
        sys.modules[part.__name__] = part


def register_strategies(folders: Iterable[Path]) -> list[str]:
    """Make the strategies in a researcher's own folders known, and return their names as a study writes them.

    What such a strategy plans beyond the plain plan is the file's own `declaration`, see `common.plans`.
    """
    modules = [module for folder in folders for module in register_folder("server.aggregation", folder)]
    for module in modules:
        register_part(module, "declaration", "common.plans")
    return sorted(module.__name__.rpartition(".")[2].replace("_", "-") for module in modules)
