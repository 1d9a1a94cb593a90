"""Asks Drift for what the assumptions need to know: some fifty requests, each of which several assumptions use."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from source_drift.probe.client import Answer, Client, Query

DAY = 86_400_000
FIRST_DAY = 1_388_534_400_000
"""2014-01-01 in epoch milliseconds, where the connector's reports begin."""
LIST_PAGE, ACCOUNTS_PAGE, MESSAGES_PAGE = 50, 65, 50
"""Page sizes that the connector asks for or expects."""
UNKNOWN_ID = 1
ODD_SHAPE = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, RecursionError)
"""What code raises that meets JSON of a shape that it does not expect."""

# So many pages of a list are read in a row.
_MOST_PAGES = 4
_NOBODY = "nobody@example.com"
_REFUSALS = (400, 422)


class CannotTell(Exception):
    """What is needed was not observed. The message says why, in fixed words and numbers."""


class TokenRefused(Exception):
    """Drift refused the token for every endpoint."""


class Observations:
    """All responses, by the name of the question.

    Attributes:
        queries: what was sent to ask them.
        walks: the pages of the lists that were followed, by the name of the list.
        schemas: the schema of each stream.
        metrics: the metrics that the connector asks for, in its order.
        scopes: the scope that each path needs, as far as the probe asks for it without an ID.
        now: epoch milliseconds of this machine when the probe started.
    """

    def __init__(self, client: Client, manifest: Mapping[str, Any]) -> None:
        self.client = client
        self.answers: dict[str, Answer] = {}
        self.queries: dict[str, Query] = {}
        self.walks: dict[str, list[Answer]] = {}
        self.schemas: dict[str, Any] = manifest["schemas"]
        self.metrics: list[str] = manifest["definitions"]["conversation_metrics"]["$parameters"]["metrics"]
        streams = [one.get("$parameters", {}) for one in manifest["definitions"].values() if isinstance(one, dict)]
        self.scopes = {
            f"/{one['endpoint']}": one["required_scope"] for one in streams if "_" in one.get("required_scope", "")
        }
        self.now = int(time.time() * 1000)

    def good(self, name: str) -> Any:
        """Return the JSON of a successful response.

        Raises:
            CannotTell: there is none.
        """
        answer = self.answers.get(name)
        if answer is None:
            raise CannotTell("not asked, because it depends on another response")
        if not answer.good:
            raise CannotTell(f"{answer.request} {outcome(answer)}")
        return answer.content

    def rows(self, name: str, place: str) -> list[Any]:
        """Return the rows of a successful response, wherever they are. Raises CannotTell if there is no list."""
        self.good(name)
        return rows_of(self.answers[name], place)

    def get(self, name: str, path: str, query: Query = (), *, label: str = "", token: str | None = None) -> Answer:
        self.queries[name] = query
        self.answers[name] = self.client.get(path, query, name=label, token=token)
        return self.answers[name]

    def report(
        self, name: str, low: int, high: int, metrics: Sequence[str] | None = None, *, days: bool = False
    ) -> Answer:
        ends = [_day(low), _day(high)] if days else [low, high]
        self.answers[name] = self.client.report(
            {
                "filters": [{"property": "updatedAt", "operation": "BETWEEN", "values": ends}],
                "metrics": list(metrics or self.metrics),
            }
        )
        return self.answers[name]

    def walk(self, name: str, path: str, query: Query, *, label: str = "", most: int = _MOST_PAGES) -> None:
        """Read a list page by page, up to `most` pages, until none is named."""
        pages = self.walks[name] = []
        following: Query | None = query
        while following is not None and len(pages) < most:
            pages.append(self.get(f"{name} {len(pages) + 1}", path, following, label=label))
            following = next_of(pages[-1]) if pages[-1].good else None
            if following and [key for key, _ in following] == ["next"]:
                following = [*((key, value) for key, value in query if key != "page_token"), *following]


def gather(client: Client, manifest: Mapping[str, Any], renew: Callable[[], str] | None = None) -> Observations:
    """Ask everything that the responses allow to ask; `renew` returns a new token after a 401.

    Raises:
        TokenRefused: every response is 401.
    """
    seen = Observations(client, manifest)
    seen.answers["token_info"] = client.token_info()
    if renew and seen.answers["token_info"].status == 401:
        client.answers.clear()
        client.use(renew())
        seen.answers["token_info"] = client.token_info()
    for step in STEPS:
        try:
            step(seen)
        except (CannotTell, *ODD_SHAPE):
            continue
    return seen


def _each_list(seen: Observations) -> None:
    for name, path in {
        "users": "/users/list",
        "teams": "/teams/org",
        "playbooks": "/playbooks/list",
        "pages": "/playbooks/clp",
        "stats": "/conversations/stats",
        "attributes": "/contacts/attributes",
    }.items():
        seen.get(name, path)
    if {answer.status for answer in seen.client.answers} == {401}:
        seen.get("accounts 1", "/accounts")
        if seen.answers["accounts 1"].status == 401:
            raise TokenRefused
    seen.get("wrong token", "/users/list", token="not-a-token")  # noqa: S106


def _conversations(seen: Observations) -> None:
    path, query = "/conversations/list", [("limit", LIST_PAGE), ("page_token", "")]
    seen.walk("list", path, query)
    if not seen.answers["list 1"].good:
        seen.answers["list refused"] = seen.answers["list 1"]
        seen.walk("list", path, [])
    seen.get("list over", path, [("limit", 200), ("page_token", "")])


def _accounts(seen: Observations) -> None:
    if seen.get("accounts 1", "/accounts", [("index", 0), ("size", ACCOUNTS_PAGE)]).status in _REFUSALS:
        seen.get("accounts 1", "/accounts", [("index", 0)])
    seen.walks["accounts"] = [seen.answers["accounts 1"]]
    seen.get("accounts over", "/accounts", [("index", 0), ("size", 100)])
    seen.get("accounts shifted", "/accounts", [("index", 3), ("size", 5)])
    following = next_of(seen.answers["accounts 1"])
    if following:
        seen.walks["accounts"].append(seen.get("accounts 2", "/accounts", following))
    total = int(total_of(seen.good("accounts 1")))
    seen.get("accounts tail", "/accounts", [("index", max(0, total - 1)), ("size", ACCOUNTS_PAGE)])


def _reports(seen: Observations) -> None:
    end = seen.now + DAY
    metrics, days = seen.metrics, False
    if seen.report("report", seen.now - 88 * DAY, end).status in _REFUSALS:
        metrics = ["updatedAt"]
        if seen.report("report one metric", seen.now - 88 * DAY, end, metrics).status in _REFUSALS:
            days = True
            seen.report("report in days", seen.now - 88 * DAY, end, metrics, days=True)
    for name, low in (("report all", FIRST_DAY), ("report year", end - 365 * DAY), ("report quarter", end - 89 * DAY)):
        if seen.report(name, low, end, ["updatedAt"], days=days).good:
            break
    seen.report("report none", FIRST_DAY, FIRST_DAY + DAY, ["updatedAt"], days=days)
    rows = seen.rows(name, "data")
    # The last page of the conversation list, which its first pages may not reach.
    count = seen.good(name).get("count")
    last = max(1, len(rows), count if is_integer(count) else 0) - 1
    seen.get("list tail", "/conversations/list", [("limit", LIST_PAGE), ("next", last)])
    times = sorted(time for row in rows for time in metric_values(row) if is_integer(time))
    middle, oldest = times[len(times) // 2], times[0]
    seen.report("report older", low, middle + 1, ["updatedAt"], days=days)
    seen.report("report newer", middle - 1, end, ["updatedAt"], days=days)
    seen.report("report from", oldest, oldest + DAY // 24, ["updatedAt"])
    seen.report("report to", oldest - DAY // 24, oldest, ["updatedAt"])


def _messages(seen: Observations) -> None:
    sizes = dict(message_counts(seen))
    label = "/conversations/{conversation_id}/messages"
    empty = next((one for one, count in sizes.items() if count == 0), None)
    if empty is not None:
        seen.get("messages none", f"/conversations/{empty}/messages", label=label)
    longest = max(sizes, key=lambda one: sizes[one]) if sizes else integer(first_conversation(seen)["id"])
    seen.walk("messages", f"/conversations/{longest}/messages", [], label=label)


def _gone_rows(seen: Observations) -> None:
    seen.get("conversation gone", f"/conversations/{UNKNOWN_ID}", label="/conversations/{conversation_id}")
    known = integer(first_conversation(seen)["id"])
    seen.get("conversation", f"/conversations/{known}", label="/conversations/{conversation_id}")


def _contacts(seen: Observations) -> None:
    seen.get("contact gone", f"/contacts/{UNKNOWN_ID}", label="/contacts/{contact_id}")
    seen.get("emails none", "/contacts", [("email", _NOBODY), ("limit", 100)])
    contacts = dict.fromkeys(integer(row["contactId"]) for row in conversations_of(seen) if row.get("contactId"))
    email = None
    for contact in list(contacts)[:3]:
        seen.get("contact", f"/contacts/{contact}", label="/contacts/{contact_id}")
        found = one_of(seen.good("contact"))
        email = (found.get("attributes") or {}).get("email")
        if email:
            break
    if isinstance(email, str):
        seen.get("emails", "/contacts", [("email", email), ("limit", 100)])


def _meetings(seen: Observations) -> None:
    start, end = seen.now - 30 * DAY + DAY // 24, seen.now + 731 * DAY
    path, limit = "/users/meetings/org", 1000

    def ask(name: str, low: int, high: int) -> Answer:
        return seen.get(name, path, [("min_start_time", low), ("max_start_time", high), ("limit", limit)])

    ask("meetings from 0", 0, seen.now)
    # Both parameters are required.
    seen.get("bad request", path)
    if ask("meetings", start, end).status in _REFUSALS:
        end = seen.now + 30 * DAY
        if ask("meetings of 60 days", start, end).status in _REFUSALS:
            limit = 100
            ask("meetings of 60 days by 100", start, end)
    ask("meetings past", start, seen.now)
    ask("meetings coming", seen.now, end)


def _again(seen: Observations) -> None:
    """Ask once more for a page of long ago, then for the metrics one by one as far as requests are left."""
    if "list 2" in seen.queries:
        seen.get("list 2 again", "/conversations/list", seen.queries["list 2"])
    if seen.answers["report"].status in _REFUSALS:
        for metric in seen.metrics:
            if seen.client.left:
                seen.report(f"metric {metric}", seen.now - 88 * DAY, seen.now + DAY, [metric])


STEPS: tuple[Callable[[Observations], None], ...] = (
    _each_list,
    _conversations,
    _accounts,
    _reports,
    _gone_rows,
    _messages,
    _contacts,
    _meetings,
    _again,
)
"""What `gather` asks, in this order. Each step uses what the steps before it found."""


# What stands where


def at(content: Any, dotted: str) -> Any:
    """Return what is at a dotted place ('' is the root), None if there is nothing."""
    for key in filter(None, dotted.split(".")):
        content = content.get(key) if isinstance(content, dict) else None
    return content


def rows_of(answer: Answer, place: str) -> list[Any]:
    """Return the list at the documented place, or else the first one that is found in up to three levels."""
    if not answer.good:
        raise CannotTell(f"{answer.request} {outcome(answer)}")
    documented = at(answer.content, place)
    if isinstance(documented, list) and documented:
        return documented
    elsewhere = next(
        (found for found in _lists(answer.content, 3) if any(isinstance(one, dict) for one in found)), None
    )
    if elsewhere is None and not isinstance(documented, list):
        raise CannotTell(f"{answer.request} returned no list")
    return elsewhere or []


def _lists(content: Any, depth: int) -> Iterator[list[Any]]:
    if isinstance(content, list):
        yield content
    elif isinstance(content, dict) and depth:
        for value in content.values():
            yield from _lists(value, depth - 1)


def one_of(content: Any) -> dict[str, Any]:
    """Return the one row of a response: `data`, the only item of that list, or the root."""
    found = at(content, "data") if isinstance(content, dict) and "data" in content else content
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if not isinstance(found, dict) or not found:
        raise CannotTell("the response has no row")
    return found


def total_of(content: Any) -> Any:
    return at(content, "data.total") if at(content, "data.total") is not None else at(content, "total")


def next_of(answer: Answer) -> Query | None:
    """Return the query of the next page that a response names in a documented place, None if it names none."""
    content = answer.content
    link = next((found for place in ("links.next", "data.next") if (found := at(content, place))), None)
    if isinstance(link, str):
        query = parse_qsl(urlsplit(link).query)
        return query or None
    token = at(content, "pagination.next")
    if token in (None, "") or isinstance(token, bool | dict | list) or at(content, "pagination.more") is False:
        return None
    return parse_qsl(urlsplit(str(token)).query) or [("next", token)]


def conversations_of(seen: Observations) -> list[dict[str, Any]]:
    """Return the conversations of all pages that were read, in the order of the list."""
    pages = [page for page in seen.walks.get("list", []) if page.good]
    return [row for page in pages for row in rows_of(page, "data") if isinstance(row, dict)]


def first_conversation(seen: Observations) -> dict[str, Any]:
    found = [row for row in conversations_of(seen) if row.get("id")]
    if not found:
        raise CannotTell("no conversation was read")
    return found[0]


def metric_values(row: Any) -> list[Any]:
    """Return the metrics of a report's row, in the order in which they were asked for."""
    values = row.get("metrics") if isinstance(row, dict) else None
    return values if isinstance(values, list) else []


def message_counts(seen: Observations) -> Iterator[tuple[int, int]]:
    """Yield the conversations of the report, each with how many messages it has."""
    if not seen.answers["report"].good:
        return
    places = [seen.metrics.index(name) for name in ("numAgentMessages", "numBotMessages", "numEndUserMessages")]
    for row in rows_of(seen.answers["report"], "data"):
        values = metric_values(row)
        counts = [values[place] for place in places if place < len(values)]
        if len(counts) == len(places) and all(is_integer(count) for count in counts):
            yield integer(row["conversationId"]), sum(counts)


def is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def integer(value: Any) -> int:
    """Return an ID as a number, so that nothing else gets into a path. Raises ValueError for any other text."""
    return int(value)


def outcome(answer: Answer) -> str:
    """Say in fixed words how a request ended."""
    if answer.status is None:
        return "got no response"
    if answer.redirects:
        return f"returned {answer.status}, a redirect to {answer.redirects[0]}"
    return f"returned {answer.status}" + (" without JSON" if "no JSON" in answer.flaws else "")


def _day(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d}"
