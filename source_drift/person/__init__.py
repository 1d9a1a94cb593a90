"""`source-drift person`: everything an archive holds about one person, for an access request."""

from source_drift.person.command import main

__all__ = ["main"]
