"""A plugin of pytest for the mutation tests alone: direct tests first, which find most mutants in no time."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what runs the whole connector behind what calls components.py by itself."""
    items.sort(key=lambda item: "connector" in getattr(item, "fixturenames", ()))
