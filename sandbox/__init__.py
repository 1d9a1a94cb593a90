"""The local Drift, a mock of Drift's API for tests and demos: synthetic data, the documented API, and faults.

with Sandbox(Drift(conversations=1_000)) as sandbox:
    requests.get(sandbox.url + "/users/list", headers={"Authorization": "Bearer sandbox-token"})
"""

from sandbox.blueprint import METRICS
from sandbox.data import MISSING, PRIMARY_KEYS, Drift, Write
from sandbox.faults import Fault
from sandbox.journal import Journal, Request
from sandbox.options import ALL_SCOPES, WRITE_SCOPES, Options
from sandbox.server import Sandbox

__all__ = [
    "ALL_SCOPES",
    "METRICS",
    "MISSING",
    "PRIMARY_KEYS",
    "WRITE_SCOPES",
    "Drift",
    "Fault",
    "Journal",
    "Options",
    "Request",
    "Sandbox",
    "Write",
]
