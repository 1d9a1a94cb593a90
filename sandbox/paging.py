"""Page tokens, offsets, and the formats of Drift's links to the next page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from sandbox.blueprint import STATUS_IDS
from sandbox.data import Page, Place
from sandbox.errors import invalid
from sandbox.options import LastPage, Options

DEFAULT_CONVERSATIONS = 25
MOST_CONVERSATIONS_BY_NEXT = 50
MOST_CONVERSATIONS_BY_LINKS = 100
DEFAULT_ACCOUNTS = 10
MOST_ACCOUNTS = 65
DEFAULT_MEETINGS = 100
MOST_MEETINGS = 1000
MESSAGES_PER_PAGE = 50
INT64 = (1 << 63) - 1

Query = dict[str, list[str]]
_TOP: Place = ((1 << 53) - 1, (1 << 53) - 1)
_ASKED_AGAIN = "attempt"


class PageToken(NamedTuple):
    """The content of a generation 2 token: continue after `place`, with this page size and these statuses."""

    place: Place
    limit: int
    status_ids: tuple[int, ...] = ()

    def encode(self, attempt: int = 0) -> str:
        """Return a query string as URL-safe base64 without padding; a different `attempt` gives a different token."""
        fields = [f"statusIds={status}" for status in self.status_ids]
        fields += [f"highestUpdatedAt={self.place[0]}", f"highestId={self.place[1]}", f"limit={self.limit}"]
        if attempt:
            fields.append(f"{_ASKED_AGAIN}={attempt}")
        return base64.urlsafe_b64encode("&".join(fields).encode()).rstrip(b"=").decode()

    @classmethod
    def decode(cls, token: str) -> PageToken:
        """Raises ApiError 400 for an invalid token."""
        try:
            padded = token + "=" * (-len(token) % 4)
            fields = parse_qs(base64.b64decode(padded, altchars=b"-_", validate=True).decode(), strict_parsing=True)
            place = (int(fields["highestUpdatedAt"][0]), int(fields["highestId"][0]))
            limit = int(fields["limit"][0])
            statuses = tuple(int(status) for status in fields.get("statusIds", ()))
        except (ValueError, KeyError, binascii.Error):
            raise invalid("page_token", "page_token is not valid", listed=True) from None
        if not 1 <= limit <= MOST_CONVERSATIONS_BY_LINKS or not set(statuses) <= set(STATUS_IDS):
            raise invalid("page_token", "page_token is not valid", listed=True)
        return cls(place, limit, statuses)


def number(query: Query, name: str, default: int | None, *, least: int, most: int = INT64, listed: bool = False) -> int:
    """Return an integer parameter.

    Raises:
        ApiError: 400 if it is out of bounds, not an integer, or missing without a default.
    """
    given = query.get(name, [""])[-1]
    if not given:
        if default is None or name in query:
            raise invalid(name, f"{name} is required", listed=listed)
        return default
    if not (given.isascii() and given.removeprefix("-").isdigit() and len(given) <= 19):
        raise invalid(name, f"{name} must be an integer", listed=listed)
    value = int(given)
    if not least <= value <= most:
        raise invalid(name, f"{name} must be from {least} to {most}", listed=listed)
    return value


def cursor(query: Query, first: int, *, listed: bool = False) -> int:
    """Return the parameter `next`; an empty value, as in Drift's own sample, means the first page."""
    return number(query, "next", first, least=first, listed=listed) if query.get("next", [""])[-1] else first


def page_size(query: Query, name: str, default: int, most: int, options: Options, *, listed: bool = False) -> int:
    """Return the requested page size; above the maximum, the options decide whether to lower or refuse it."""
    bound = most if options.over_limit == "refuse" else INT64
    return min(most, number(query, name, default, least=1, most=bound, listed=listed))


def status_ids(query: Query) -> tuple[int, ...]:
    """Raises ApiError 400 for a status ID other than 1 OPEN, 2 CLOSED or 3 PENDING."""
    given = query.get("statusId", [])
    if not all(status in ("1", "2", "3") for status in given):
        raise invalid("statusId", "statusId must be 1 (OPEN), 2 (CLOSED) or 3 (PENDING)", listed=True)
    return tuple(dict.fromkeys(int(status) for status in given))


def status_names(ids: Sequence[int]) -> tuple[str, ...]:
    return tuple(STATUS_IDS[status] for status in ids)


def conversation_envelope(
    page: Page, token: PageToken | None, size: int, statuses: tuple[int, ...], options: Options
) -> Any:
    """Return the response of the list, with the pagination that the options choose.

    `token` is the one in the request; None for a first page or with generation 1.
    """
    end = options.last_page
    goes_on = page.more or (bool(page.rows) and end.startswith("empty_page"))
    repeats = not page.rows and page.offset > 0 and end == "empty_page_repeats"
    answer: dict[str, Any] = {"data": page.rows}
    if options.paging != "links":
        pagination = _pagination(str(page.offset) if goes_on or repeats else None, end)
        if pagination is not None:
            answer["pagination"] = pagination
    if options.paging != "next":
        current = token.encode() if token else ""
        links: dict[str, Any] = {"self": _link(options, current)}
        if goes_on and page.last is not None:
            links["next"] = _link(options, PageToken(page.last, size, statuses).encode())
        elif repeats:
            links["next"] = links["self"]
        elif end in ("null", "empty_string"):
            links["next"] = _nothing(end)
        answer["links"] = links
    return answer


def _link(options: Options, token: str) -> str:
    return f"{options.link_host}/conversations/list?page_token={token}"


def _pagination(following: str | None, end: LastPage) -> dict[str, Any] | None:
    if following is not None:
        return {"more": True, "next": following}
    if end in ("omitted", "empty_page", "empty_page_repeats"):
        return None
    return {"more": False} if end == "more_false" else {"more": False, "next": _nothing(end)}


def _nothing(end: LastPage) -> str | None:
    return "" if end == "empty_string" else None


def messages_envelope(messages: list[dict[str, Any]], page: int, end: LastPage) -> dict[str, Any]:
    """Return one page (from 1) of a conversation's messages.

    The last page has `pagination` too, because Drift's own export sample reads `more` without a check.
    """
    start = (page - 1) * MESSAGES_PER_PAGE
    rows = messages[start : start + MESSAGES_PER_PAGE]
    following = str(page + 1)
    if start + MESSAGES_PER_PAGE < len(messages) or (len(rows) == MESSAGES_PER_PAGE and end.startswith("empty_page")):
        pagination: dict[str, Any] = {"more": True, "next": following}
    elif not rows and page > 1 and end == "empty_page_repeats":
        pagination = {"more": False, "next": str(page)}
    else:
        pagination = _pagination(None, end) or {"more": False}
    return {"data": {"messages": rows}, "pagination": pagination}


def accounts_envelope(rows: list[dict[str, Any]], total: int, index: int, size: int, options: Options) -> Any:
    """Return one page of accounts; the link to the next page is inside `data` (devdocs: listing-accounts)."""
    end = options.last_page
    data: dict[str, Any] = {"accounts": rows, "total": total}
    if index + size < total or (rows and end.startswith("empty_page")):
        data["next"] = _accounts_link(index + size, size, options)
    elif not rows and index and end == "empty_page_repeats":
        data["next"] = _accounts_link(index, size, options)
    elif end in ("null", "empty_string"):
        data["next"] = _nothing(end)
    return {"data": data}


def _accounts_link(index: int, size: int, options: Options) -> str:
    path = "/accounts/" if options.accounts_next == "slash" else "/accounts"
    host = options.link_host if options.accounts_next == "absolute" else ""
    return f"{host}{path}?index={index}&size={size}"


def asked_again(query: Query, attempt: int) -> tuple[str, str]:
    """Return new cursors for the position in the request, for (`page_token`, `next`)."""
    token = query.get("page_token", [""])[-1]
    decoded = PageToken.decode(token) if token else PageToken(_TOP, _limit_of(query))
    return decoded.encode(attempt), "0" * attempt + (query.get("next", [""])[-1] or "0")


def _limit_of(query: Query) -> int:
    given = query.get("limit", [""])[-1]
    return min(int(given), MOST_CONVERSATIONS_BY_LINKS) if given.isdigit() and int(given) else DEFAULT_CONVERSATIONS
