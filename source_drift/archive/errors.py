"""The error of a command that cannot continue."""


class ArchiveError(Exception):
    """Something the user can act on; its text is one line, fit to be shown as it is."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
