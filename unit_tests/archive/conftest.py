"""A scripted connector for the tests of the archive."""

from functools import partial
from pathlib import Path

import pytest

from unit_tests.archive.messages import Script, scripted


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Return a function that takes what to do at each verb (`again`: with a state) and returns the command."""
    return partial(scripted, tmp_path)
