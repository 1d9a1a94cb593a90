"""A local Drift that accepts writes, for the tests in both folders."""

from collections.abc import Iterator

import pytest

from sandbox import ALL_SCOPES, Drift, Options, Sandbox

SCOPES = (*ALL_SCOPES, "contact_write")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Tokens: `sandbox-token` may write, `made-up-reader` may only look contacts up; OAuth tokens may write."""
    options = Options(
        tokens={"sandbox-token": SCOPES, "made-up-reader": ("contact_read",)}, oauth_scopes=SCOPES, rate_limit=None
    )
    with Sandbox(Drift(conversations=50, history_days=30), options) as running:
        yield running


@pytest.fixture
def people(sandbox: Sandbox) -> list[int]:
    """The ids of 30 contacts of the local Drift."""
    return [sandbox.drift.add_contact(email=f"person{number}@example.com", name="Old") for number in range(30)]
