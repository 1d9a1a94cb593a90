"""What can go wrong: one row, the settings, Drift, or the input. No message holds a value of a row."""


class Rejected(Exception):
    """One row is refused, and the next one goes on.

    Attributes:
        code: one of the codes in docs/destination-drift.md, for example `missing_key`.
        field: the column or attribute that it is about; never a value.
        status: Drift's HTTP status if the code is `refused_by_drift`.
    """

    def __init__(self, code: str, field: str | None = None, status: int | None = None) -> None:
        super().__init__(code)
        self.code, self.field, self.status = code, field, status


class ConfigError(Exception):
    """The user must change a setting, the mapping or the rows. The message says which; it ends the run."""


class TransientError(Exception):
    """The next run may succeed without a change. The message is for the user; it ends the run."""


class InputError(Exception):
    """A line on standard input cannot be used. The message names the line, and never quotes it; it ends the run."""


class OutcomeUnknown(Exception):
    """A request that must not be repeated blindly may or may not have been applied."""


class WouldWrite(Exception):
    """In a dry run, the request that would have written is not sent."""


class Later(Exception):
    """The row is written again after all others, if the input is complete. Until then, it is not settled."""
