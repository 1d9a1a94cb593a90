"""The errors of Drift's API in both formats."""

from __future__ import annotations

from typing import Any

from sandbox.answer import Answer


class ApiError(Exception):
    """An error response.

    Attributes:
        status: the HTTP status.
        type: `authentication_error`, `validation_error`, `not_found`…
        param: the invalid parameter, if any.
        listed: the body is `{"errors": [{…}]}` (devdocs: listing-conversations) instead of `{"error": {…}}`.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        param: str | None = None,
        listed: bool = False,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.type, self.message, self.param, self.listed = status, kind, message, param, listed
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        error = {"type": self.type, "message": self.message}
        if self.param is not None:
            error["param"] = self.param
        return {"errors": [error]} if self.listed else {"error": error}

    def answer(self) -> Answer:
        return Answer(self.status, self.body(), self.headers)


def not_found(what: str) -> ApiError:
    return ApiError(404, "not_found", f"{what} was not found")


def invalid(param: str | None, message: str, *, listed: bool = False) -> ApiError:
    return ApiError(400, "validation_error", message, param=param, listed=listed)
