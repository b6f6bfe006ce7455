"""The files of a new adapter: templates in the folders beside this module, filled in with the adapter's names.

A template `adapter.py.txt` becomes `adapter.py`. Its names stand as `$name`, as `string.Template` has them.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Literal

from gateway.canonical.errors import ConfigurationError
from gateway.registry import BILLING_GROUP, EHR_GROUP, adapter_names

Kind = Literal["ehr", "billing"]
GROUPS: Mapping[Kind, str] = {"ehr": EHR_GROUP, "billing": BILLING_GROUP}
LONGEST_NAME, LONGEST_TITLE = 30, 40
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_TITLE = re.compile(r"[\w .,&()/+-]+")
_SUFFIX = ".txt"


@dataclass(frozen=True, slots=True)
class NewAdapter:
    """What shall be made. `folder` is that of the adapter; `project` that of its own package, or None."""

    kind: Kind
    name: str
    title: str
    folder: Path
    module: str
    project: Path | None = None

    @property
    def entry_point(self) -> str:
        """Its line in pyproject.toml."""
        return f'{self.name} = "{self.module}:ADAPTER"'

    def files(self) -> dict[Path, str]:
        """Every file to write, with its content."""
        names = self._names()
        made = {self.folder / path: text.substitute(names) for path, text in _templates(self.kind)}
        if self.project is not None:
            made |= {self.project / path: text.substitute(names) for path, text in _templates("package")}
        return made

    def write(self) -> list[Path]:
        """Write the files; the paths, in order. Nothing is overwritten."""
        made = self.files()
        for path, text in made.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        return sorted(made)

    def _class_name(self) -> str:
        """AcmeEhr is the adapter's class of acme and of acme_ehr."""
        made = "".join(word.capitalize() for word in self.name.split("_"))
        return made.removesuffix(self.kind.capitalize()) or made

    def _names(self) -> dict[str, str]:
        return {
            "name": self.name,
            "title": self.title,
            "cls": self._class_name(),
            "upper": self.name.upper(),
            "module": self.module,
            "docs": f"adapters/{self.kind}/{self.name}/README.md" if self.project is None else "README.md",
            "project": self.name.replace("_", "-"),
            "group": GROUPS[self.kind],
            "elements": _elements(),
        }


def new_adapter(kind: Kind, name: str, title: str, directory: Path | None, *, package: bool) -> NewAdapter:
    """A new adapter, checked: raises `ConfigurationError` for a bad name or title, or a folder that is there already.

    In this repository `directory` is a package folder (`adapters/ehr`); with `package` it is where the project's folder
    shall be made.
    """
    _check_name(kind, name)
    shown = title or name.replace("_", " ").title()
    if not _TITLE.fullmatch(shown) or len(shown) > LONGEST_TITLE:
        problem = f"the title must be at most {LONGEST_TITLE} letters, digits, blanks and .,&()/+-"
        raise ConfigurationError("--title", f"{problem}.", 'For example --title "Acme EHR".')
    if package:
        project = (directory or Path()) / name.replace("_", "-")
        made = NewAdapter(kind, name, shown, project / name, name, project)
    else:
        home = directory or Path("adapters") / kind
        made = NewAdapter(kind, name, shown, home / name, f"{_package_of(home)}.{name}")
    occupied = made.project or made.folder
    if occupied.exists():
        problem, remedy = "the folder exists already.", "Choose another name, or remove the folder first."
        raise ConfigurationError(str(occupied), problem, remedy)
    return made


def _check_name(kind: Kind, name: str) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or len(name) > LONGEST_NAME:
        problem = f"{name} is no name of an adapter: snake_case, at most {LONGEST_NAME} characters, no Python keyword."
        raise ConfigurationError("gateway new-adapter", problem, "For example acme_ehr.")
    if name in adapter_names(GROUPS[kind]):
        problem = f"there is an adapter named {name} already."
        raise ConfigurationError("gateway new-adapter", problem, "Choose another name; `gateway adapters` lists them.")


def _package_of(folder: Path) -> str:
    """The dotted name of a package folder: as far up as there are `__init__.py` files."""
    names: list[str] = []
    place = folder.resolve()
    while (place / "__init__.py").is_file():
        names.insert(0, place.name)
        place = place.parent
    if not names:
        remedy = "Run this in the gateway's repository, name such a folder, or add --package for one of your own."
        raise ConfigurationError(str(folder), "this is no folder of a Python package.", remedy)
    return ".".join(names)


def _templates(folder: str) -> Iterator[tuple[str, Template]]:
    yield from _below(files(__name__) / folder, "")


def _below(place: Traversable, prefix: str) -> Iterator[tuple[str, Template]]:
    for entry in sorted(place.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _below(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            yield f"{prefix}{entry.name.removesuffix(_SUFFIX)}", Template(entry.read_text("utf-8"))


def _elements() -> str:
    """A line of comment for each canonical element, so that the list is always that of the kit."""
    from gateway.kit.payload import CLAIM_ELEMENTS  # noqa: PLC0415  (not needed by `gateway --help`)

    return "\n".join(f'    # "{element}": "",  # {meaning}' for element, meaning in CLAIM_ELEMENTS.items())
