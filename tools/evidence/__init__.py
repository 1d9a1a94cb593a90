"""The evidence for the promise, gathered by one command: `make prove`, which writes docs/reliability.md."""
