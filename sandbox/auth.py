"""Bearer tokens with scopes and lifetimes, and the OAuth token endpoint (devdocs: authentication-and-scopes)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.blueprint import ORG_ID
from sandbox.errors import ApiError, invalid
from sandbox.options import Options


@dataclass(frozen=True, slots=True)
class Grant:
    """What one access token allows."""

    token: str
    scopes: tuple[str, ...]
    created_at: int
    expires_at: float | None
    uses: int | None


class Authority:
    """Issues, counts and refuses tokens. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._started_at = int(time.time() * 1000)
        self._used: Counter[str] = Counter()
        self._issued: dict[str, Grant] = {}
        self._refresh_tokens: set[str] = set()
        self._dead: set[str] = set()
        self.refreshes = 0
        """How many times `POST /oauth2/token` has issued tokens."""

    def revoke(self, token: str) -> None:
        """Refuse a private, access or refresh token from now on."""
        self._dead.add(token)

    def label(self, options: Options, authorization: str | None) -> str | None:
        """Return the name of the bearer token, `unknown` for an unknown one, None if there is none."""
        token = _bearer(authorization)
        if token is None:
            return None
        return token if token in options.tokens or token in self._issued else "unknown"

    def check(self, options: Options, authorization: str | None, scope: str | None) -> Grant:
        """Return the grant of a request's bearer token and count its use.

        Raises:
            ApiError: 401 for a missing, unknown, expired or used-up token; 403 (or the status in the options) if
                it lacks `scope`. The scopes of a token are fixed when it is issued (devdocs: faqs).
        """
        token = _bearer(authorization)
        grant = self._grant(options, token) if token else None
        if token is None or grant is None or not self._alive(grant):
            raise ApiError(401, "authentication_error", "The access token is invalid or has expired")
        self._used[token] += 1
        if scope is not None and scope not in grant.scopes:
            raise ApiError(
                options.missing_scope_status, "permission_error", f"The access token does not have the scope {scope}"
            )
        return grant

    def info(self, options: Options, token: str) -> dict[str, Any]:
        """Return the response of `POST /app/token_info` (devdocs: get-token-information).

        Raises:
            ApiError: 400 if the token is unknown.
        """
        grant = self._grant(options, token)
        if grant is None or not self._alive(grant) or options.token_info == "400":
            raise invalid("access_token", "access_token is not a token of this app")
        left = 0 if grant.expires_at is None else max(1, int((grant.expires_at - self._clock()) * 1000))
        return {
            "access_token": token,
            "authenticated_userid": f"orgId:{ORG_ID}",
            "credential_id": "sandbox-app",
            "token_type": "bearer",
            "expires_in": left,
            "created_at": grant.created_at,
            "scope": " ".join(grant.scopes),
            "id": "token-entry-1",
        }

    def exchange(self, options: Options, form: Mapping[str, str]) -> dict[str, Any]:
        """Issue tokens for a refresh token or an authorization code.

        Raises:
            ApiError: 400 for a missing field, an unknown grant type or a grant that is used up or unknown; 401 for a
                wrong client.
        """
        for name in ("client_id", "client_secret", "grant_type"):
            if not form.get(name):
                raise invalid(name, f"{name} is required")
        if (form["client_id"], form["client_secret"]) != (options.client_id, options.client_secret):
            raise ApiError(401, "authentication_error", "The client credentials are invalid")
        needed = {"refresh_token": "refresh_token", "authorization_code": "code"}.get(form["grant_type"])
        if needed is None:
            raise invalid("grant_type", "grant_type must be refresh_token or authorization_code")
        offered = form.get(needed)
        if not offered:
            raise invalid(needed, f"{needed} is required")
        known = (
            {options.refresh_token, *self._refresh_tokens}
            if needed == "refresh_token"
            else {options.authorization_code}
        )
        if offered not in known or offered in self._dead:
            raise ApiError(400, "invalid_grant", f"The {needed} is invalid, expired or used")
        return self._issue(options, offered, rotate=options.rotate_refresh_tokens or needed == "code")

    def _issue(self, options: Options, offered: str, *, rotate: bool) -> dict[str, Any]:
        self.refreshes += 1
        access = f"sandbox-access-{self.refreshes}"
        refresh = f"sandbox-refresh-{self.refreshes + 1}" if rotate else offered
        if rotate:
            self._dead.add(offered)
            self._refresh_tokens.add(refresh)
        self._issued[access] = Grant(
            access,
            tuple(options.oauth_scopes),
            int(time.time() * 1000),
            self._clock() + options.access_token_seconds,
            options.access_token_uses,
        )
        rest: dict[str, Any] = {
            "token_type": "bearer",
            "expires_in": int(options.access_token_seconds),
            "orgId": ORG_ID,
        }
        if options.oauth_names == "camel":
            return {"accessToken": access, "refreshToken": refresh} | rest
        return {"access_token": access, "refresh_token": refresh} | rest

    def _grant(self, options: Options, token: str) -> Grant | None:
        if token in self._issued:
            return self._issued[token]
        if token not in options.tokens:
            return None
        expires_at = None if options.token_seconds is None else self._started + options.token_seconds
        return Grant(token, tuple(options.tokens[token]), self._started_at, expires_at, options.token_uses)

    def _alive(self, grant: Grant) -> bool:
        expired = grant.expires_at is not None and self._clock() >= grant.expires_at
        spent = grant.uses is not None and self._used[grant.token] >= grant.uses
        return not (expired or spent or grant.token in self._dead)


def _bearer(authorization: str | None) -> str | None:
    kind, _, token = (authorization or "").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else None
