"""Tests that run the connector as a process against the sandbox, over HTTP."""
