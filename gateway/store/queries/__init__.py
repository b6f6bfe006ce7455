"""Named SQL statements, one file per subject: `-- name: x` starts a statement."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


@cache
def queries(subject: str) -> dict[str, str]:
    """All statements of `<subject>.sql` by name."""
    parts = _NAME.split(files(__name__).joinpath(f"{subject}.sql").read_text("utf-8"))
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
