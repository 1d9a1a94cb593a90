"""Drift's read endpoints, and the table of all endpoints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from sandbox import paging
from sandbox.answer import Answer
from sandbox.blueprint import METRICS
from sandbox.call import Call, Endpoint
from sandbox.data import NAN, Drift
from sandbox.errors import invalid, not_found
from sandbox.seeds import DAY
from sandbox.writes import WRITES


def conversations(call: Call) -> Any:
    query, options = call.query, call.options
    by_links = options.paging == "links" or (options.paging == "both" and "page_token" in query)
    most = paging.MOST_CONVERSATIONS_BY_LINKS if by_links else paging.MOST_CONVERSATIONS_BY_NEXT
    size = paging.page_size(query, "limit", paging.DEFAULT_CONVERSATIONS, most, options, listed=True)
    statuses = paging.status_ids(query)
    sent = query.get("page_token", [""])[-1] if by_links else ""
    if sent:
        token = paging.PageToken.decode(sent)
        names = paging.status_names(token.status_ids)
        page = call.drift.conversations_after(token.place, token.limit, names)
        return paging.conversation_envelope(page, token, token.limit, token.status_ids, options)
    names = paging.status_names(statuses)
    if options.paging == "links":
        page = call.drift.conversations_after(None, size, names)
    else:
        offset = paging.cursor(query, 0, listed=True)
        page = call.drift.conversations_from(offset, size, names)
    return paging.conversation_envelope(page, None, size, statuses, options)


def conversation(call: Call) -> Any:
    conversation_id = call.path_id("conversationId", "Conversation")
    found = call.drift.conversation(conversation_id)
    if found is None:
        raise not_found(f"Conversation {conversation_id}")
    return {"data": found}


def messages(call: Call) -> Any:
    conversation_id = call.path_id("conversationId", "Conversation")
    page = paging.cursor(call.query, 1)
    found = call.drift.messages(conversation_id)
    if found is None:
        raise not_found(f"Conversation {conversation_id}")
    return paging.messages_envelope(found, page, call.options.last_page)


def attachment(call: Call) -> Any:
    attachment_id = call.path_id("attachmentId", "Attachment")
    found = call.drift.attachment(attachment_id)
    if found is None:
        raise not_found(f"Attachment {attachment_id}")
    return Answer(200, found, {}, "application/pdf")


def conversation_stats(call: Call) -> Any:
    return {"conversationCount": call.drift.conversation_stats()}


def conversation_report(call: Call) -> Any:
    body = call.json()
    names = body.get("metrics")
    if not isinstance(names, list) or not names or not all(name in METRICS for name in names):
        raise invalid("metrics", f"metrics must be a list of {', '.join(METRICS)}")
    given = body.get("filters", [])
    if not isinstance(given, list):
        raise invalid("filters", "filters must be a list")
    filters = [_filter(one) for one in given]
    low = max((one.low for one in filters if one.low is not None), default=None)
    high = min((one.high for one in filters if one.high is not None), default=None)
    rows = [
        {"conversationId": conversation_id, "metrics": [metrics[name] for name in names]}
        for conversation_id, metrics in call.drift.metrics_between(low, high)
        if all(one.holds(conversation_id, metrics, call.drift) for one in filters)
    ]
    return {"count": len(rows), "data": rows[: call.options.reports_row_cap]}


@dataclass(frozen=True)
class _Filter:
    """A condition of a report; `low` and `high` limit updatedAt, so that not all rows are visited."""

    property: str
    operation: str
    values: tuple[Any, ...]
    low: int | None = None
    high: int | None = None

    def holds(self, conversation_id: int, metrics: Mapping[str, int | str], drift: Drift) -> bool:
        if self.property == "status":
            found: Any = str((drift.conversation(conversation_id) or {}).get("status")).lower()
        else:
            found = metrics[self.property]
        if found == NAN:
            return False
        if self.operation == "IN":
            return found in self.values
        return self.operation == "HAS_PROPERTY" or self.values[0] <= found <= self.values[1]


def _filter(given: Any) -> _Filter:
    if not isinstance(given, dict):
        raise invalid("filters", "a filter must be an object")
    name, operation, values = given.get("property"), given.get("operation"), given.get("values", [])
    if name not in (*METRICS, "status"):
        raise invalid("filters", f"property must be one of {', '.join((*METRICS, 'status'))}")
    if operation not in ("HAS_PROPERTY", "BETWEEN", "IN"):
        raise invalid("filters", "operation must be HAS_PROPERTY, BETWEEN or IN")
    if not isinstance(values, list):
        raise invalid("filters", "values must be a list")
    if operation == "HAS_PROPERTY":
        return _Filter(name, operation, ())
    if operation == "IN":
        if name != "status":
            return _Filter(name, operation, tuple(map(_moment, values)))
        if not all(isinstance(value, str) for value in values):
            raise invalid("filters", "status is a string")
        return _Filter(name, operation, tuple(value.lower() for value in values))
    if len(values) != 2 or name == "status":
        raise invalid("filters", "BETWEEN takes two values of a numeric property")
    low, high = _moment(values[0]), _moment(values[1], end=True)
    bounds = (low, high) if name == "updatedAt" else (None, None)
    return _Filter(name, operation, (low, high), *bounds)


def _moment(value: Any, *, end: bool = False) -> int:
    """Read a number, digits, or a day: its first millisecond (UTC), or its last one for the `end` of a range."""
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-paging.INT64, min(value, paging.INT64))
    if isinstance(value, float) and abs(value) < paging.INT64:
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            day = int(datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp()) * 1000
        except ValueError:
            raise invalid("filters", f"{value} is no day") from None
        return day + DAY - 1 if end else day
    raise invalid("filters", "values must be numbers or days as YYYY-MM-DD")


def users(call: Call) -> Any:
    return {"data": call.drift.users()}


def meetings(call: Call) -> Any:
    start = paging.number(call.query, "min_start_time", None, least=0)
    end = paging.number(call.query, "max_start_time", None, least=0)
    size = paging.page_size(call.query, "limit", paging.DEFAULT_MEETINGS, paging.MOST_MEETINGS, call.options)
    return {"data": call.drift.meetings(start, end)[:size]}


def teams(call: Call) -> Any:
    return {"data": call.drift.teams()}


def playbooks(call: Call) -> Any:
    return call.drift.playbooks()


def landing_pages(call: Call) -> Any:
    return call.drift.landing_pages()


def contact(call: Call) -> Any:
    contact_id = call.path_id("contactId", "Contact")
    found = call.drift.contact(contact_id)
    if found is None:
        raise not_found(f"Contact {contact_id}")
    return {"data": found}


def contacts(call: Call) -> Any:
    """By email, or by external IDs, which may be many."""
    size = paging.number(call.query, "limit", paging.INT64, least=1)
    kind = call.query.get("idType", [None])[-1]
    email = call.query.get("email", [""])[-1]
    if kind not in (None, "external"):
        raise invalid("idType", "idType must be external")
    if kind:
        ids = dict.fromkeys(call.query.get("id", ()))
        if not ids:
            raise invalid("id", "id is required")
        found = [row for one in ids for row in call.drift.contacts_by_external_id(one)][:size]
    elif email:
        found = call.drift.contacts_by_email(email, any_case=call.options.email_case == "insensitive")[:size]
    else:
        raise invalid("email", "email is required")
    return {"data": found[0] if len(found) == 1 and call.options.contacts_by_email == "object" else found}


def contact_attributes(call: Call) -> Any:
    return {"data": {"properties": call.drift.contact_attributes()}}


def accounts(call: Call) -> Any:
    index = paging.number(call.query, "index", 0, least=0)
    size = paging.page_size(call.query, "size", paging.DEFAULT_ACCOUNTS, paging.MOST_ACCOUNTS, call.options)
    rows, total = call.drift.account_page(index, size)
    return paging.accounts_envelope(rows, total, index, size, call.options)


def account(call: Call) -> Any:
    account_id = call.path_params["accountId"]
    found = call.drift.account(account_id)
    if found is None:
        raise not_found(f"Account {account_id}")
    return {"data": found}


def token_info(call: Call) -> Any:
    token = call.json().get("access_token")
    if not isinstance(token, str) or not token:
        raise invalid("access_token", "access_token is required")
    return call.authority.info(call.options, token)


def oauth_token(call: Call) -> Any:
    if not call.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise invalid(None, "The body must be application/x-www-form-urlencoded")
    return call.authority.exchange(call.options, dict(parse_qsl(call.body.decode("latin-1"))))


# Routes are tried in this order: the most frequent first, `/contacts/attributes` before `/contacts/{contactId}`.
ENDPOINTS = (
    Endpoint("GET", "/conversations/list", conversations, "conversation_read"),
    Endpoint("GET", "/conversations/{conversationId}/messages", messages, "conversation_read"),
    Endpoint("GET", "/attachments/{attachmentId}/data", attachment, "conversation_read"),
    Endpoint("GET", "/conversations/stats", conversation_stats, "conversation_read"),
    Endpoint("GET", "/conversations/{conversationId}", conversation, "conversation_read"),
    Endpoint("GET", "/contacts/attributes", contact_attributes, "all_contact_read"),
    Endpoint("GET", "/contacts/{contactId}", contact, "contact_read"),
    Endpoint("GET", "/contacts", contacts, "contact_read"),
    Endpoint("GET", "/accounts", accounts, "account_read"),
    Endpoint("GET", "/accounts/", accounts, "account_read"),
    Endpoint("GET", "/accounts/{accountId}", account, "account_read"),
    Endpoint("GET", "/users/list", users, "user_read"),
    Endpoint("GET", "/users/meetings/org", meetings, "user_read"),
    Endpoint("GET", "/teams/org", teams, "user_read"),
    Endpoint("GET", "/playbooks/list", playbooks, "playbook_read"),
    Endpoint("GET", "/playbooks/clp", landing_pages, "playbook_read"),
    Endpoint("POST", "/reports/conversations", conversation_report, "conversation_read"),
    Endpoint("POST", "/app/token_info", token_info),
    Endpoint("POST", "/oauth2/token", oauth_token, token=False),
    *WRITES,
)
