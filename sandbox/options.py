"""Options of the sandbox: behaviors that Drift's documentation leaves open, and limits that the sandbox enforces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from sandbox.dialects import check_names

ALL_SCOPES = (
    "account_read",
    "all_contact_read",
    "contact_read",
    "conversation_read",
    "playbook_read",
    "user_read",
)
"""Every scope that a read needs (devdocs: authentication-and-scopes)."""

WRITE_SCOPES = ("contact_write", "gdpr_read", "gdpr_write")
"""The scopes of the calls that change, retrieve or erase contacts; no token has them by default."""

Paging = Literal["next", "links", "both"]
LastPage = Literal["omitted", "null", "empty_string", "more_false", "empty_page", "empty_page_repeats"]
OverLimit = Literal["clamp", "refuse"]
RetryAfter = Literal["seconds", "http-date", "none"]
AccountsNext = Literal["relative", "slash", "absolute"]
TokenInfo = Literal["normal", "400"]
ContactsByEmail = Literal["array", "object"]
OAuthNames = Literal["snake", "camel"]
EmailCase = Literal["sensitive", "insensitive"]
NewAttributes = Literal["created", "ignored", "refused"]
AttributeTypes = Literal["ignored", "enforced"]
Tags = Literal["work", "ignored", "gone"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of a sandbox; replace them while it runs with `sandbox.options = dataclasses.replace(...)`.

    Attributes:
        paging: pagination of the conversation list. `next` is generation 1 (devdocs: listing-conversations):
            `pagination` alone, its `next` an offset as a string. `links` is generation 2 (devdocs: list-conversations):
            absolute links with an opaque `page_token`. `both` in one response is what recordings show.
        last_page: what the end of a list looks like, which Drift does not document. `omitted`: no next link and, in the
            list of conversations, no `pagination`. `null` and `empty_string`: the link is present, but has no value.
            `more_false`: `pagination` says only `more: false`. `empty_page`: there is a link to one more page, which is
            empty. `empty_page_repeats`: that empty page links to itself.
        over_limit: whether a page size above the maximum is lowered to it or refused with 400.
        link_host: scheme and host of absolute links.
        accounts_next: format of `data.next` of accounts: `/accounts?…`, `/accounts/?…` or with `link_host` before it.
        contacts_by_email: `object` sends the only match without its array, as one documentation sample does.
        tokens: private tokens and the scopes of each.
        token_uses: how many requests each private token is accepted for; None for any number.
        token_seconds: lifetime of private tokens from the sandbox's start.
        client_id, client_secret, refresh_token, authorization_code: what `POST /oauth2/token` accepts.
        oauth_scopes: scopes of the tokens it issues.
        oauth_names: `camel` answers as Drift did until 2018: `accessToken`, `refreshToken`.
        access_token_seconds, access_token_uses: life of an issued access token.
        rotate_refresh_tokens: each refresh returns a new refresh token and revokes the old one.
        missing_scope_status: 403, or 401, which some services return.
        rate_limit: (requests, seconds) of a leaky bucket over all requests; None for no limit.
        reports_per_minute: rate limit for `/reports/` (devdocs: conversation-reporting); None for no limit.
        retry_after: the format of `Retry-After` in a 429.
        reports_row_cap: maximum number of rows in a report; its `count` stays correct.
        latency: seconds before each response; requests run in parallel.
        token_info: `400` refuses every body while the bearer token is accepted.
        email_case: whether look-ups by email and the check for duplicates distinguish uppercase and lowercase.
        index_lag: how many requests pass before a look-up finds a contact that was created.
        duplicate_status: 409 or 400 for a contact that exists.
        new_attributes: what a value of an unknown attribute does: it creates the attribute, it is accepted but ignored,
            or it is refused with 400.
        attribute_types: whether a value of another type than its attribute's is refused with 400.
        tags: whether tags work, are accepted but ignored, or return 404.
        erasure_delay: how many requests pass before `POST /gdpr/delete` takes effect.
        dialects: names of `sandbox.dialects.DIALECTS`, applied in this order.
    """

    paging: Paging = "both"
    last_page: LastPage = "omitted"
    over_limit: OverLimit = "clamp"
    link_host: str = "https://api.drift.com"
    accounts_next: AccountsNext = "relative"
    contacts_by_email: ContactsByEmail = "array"
    tokens: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"sandbox-token": ALL_SCOPES})
    token_uses: int | None = None
    token_seconds: float | None = None
    client_id: str = "sandbox-client"
    client_secret: str = "sandbox-secret"
    refresh_token: str = "sandbox-refresh-1"
    authorization_code: str = "sandbox-code"
    oauth_scopes: tuple[str, ...] = ALL_SCOPES
    oauth_names: OAuthNames = "snake"
    access_token_seconds: float = 7200
    access_token_uses: int | None = None
    rotate_refresh_tokens: bool = True
    missing_scope_status: Literal[401, 403] = 403
    rate_limit: tuple[int, float] | None = (1000, 20.0)
    reports_per_minute: int | None = 60
    retry_after: RetryAfter = "seconds"
    reports_row_cap: int | None = None
    latency: float = 0.0
    token_info: TokenInfo = "normal"
    email_case: EmailCase = "sensitive"
    index_lag: int = 0
    duplicate_status: Literal[400, 409] = 409
    new_attributes: NewAttributes = "created"
    attribute_types: AttributeTypes = "ignored"
    tags: Tags = "work"
    erasure_delay: int = 10
    dialects: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown choice, an unknown dialect, or a limit that allows no requests."""
        choices = {
            "paging": Paging,
            "last_page": LastPage,
            "over_limit": OverLimit,
            "accounts_next": AccountsNext,
            "contacts_by_email": ContactsByEmail,
            "oauth_names": OAuthNames,
            "retry_after": RetryAfter,
            "token_info": TokenInfo,
            "email_case": EmailCase,
            "new_attributes": NewAttributes,
            "attribute_types": AttributeTypes,
            "tags": Tags,
        }
        for name, kind in choices.items():
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}, but is {getattr(self, name)!r}")
        if self.rate_limit is not None and (self.rate_limit[0] < 1 or self.rate_limit[1] <= 0):
            raise ValueError(f"rate_limit must be (requests >= 1, seconds > 0), but is {self.rate_limit}")
        if self.reports_per_minute is not None and self.reports_per_minute < 1:
            raise ValueError(f"reports_per_minute must be at least 1, but is {self.reports_per_minute}")
        for name in ("latency", "index_lag", "erasure_delay"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, but is {getattr(self, name)}")
        check_names(self.dialects)
