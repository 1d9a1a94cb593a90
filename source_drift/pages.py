"""Self-contained HTML pages."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from source_drift.words import allowed


def environment(folder: Path) -> Environment:
    """Return the environment for the templates in a folder: it escapes every value and refuses unknown names."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_allowed,
    )


def _allowed(value: Any) -> Any:
    # Markup from the template is a subclass of str and must not be changed.
    return allowed(value) if type(value) is str else value
