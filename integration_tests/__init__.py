"""The connector as a process against the sandbox, over HTTP."""
