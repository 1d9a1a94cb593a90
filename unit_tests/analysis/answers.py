"""The answers to the questions of docs/queries, computed in plain Python from the rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from unit_tests.analysis.landing import Row, Rows

Answer = list[tuple[Any, ...]]


def volume_by_week_and_inbox(rows: Rows) -> Answer:
    counts: dict[tuple[Any, Any], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows["conversations"]:
        day = _day(row.get("createdAt"))
        week = day and day - timedelta(days=day.weekday())
        count = counts[week, row.get("inboxId")]
        count[0] += 1
        count[1] += row.get("status") == "bulk_sent"
    answer = [(week, inbox, *count) for (week, inbox), count in counts.items()]
    return sorted(answer, key=lambda row: (*_falling(row[0] and row[0].toordinal()), -row[2], *_rising(row[1])))


def first_human_response(rows: Rows) -> Answer:
    bots = {row["id"] for row in rows["users"] if row.get("bot")}
    threads: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for row in rows["messages"]:
        author = row.get("author") or {}
        conversation, at = row.get("conversationId"), row.get("createdAt")
        if row.get("type") not in (None, "chat") or conversation is None or at is None:
            continue
        if author.get("type") == "contact":
            threads[conversation].append((at, "contact"))
        elif author.get("type") == "user":
            is_bot = author.get("bot") or author.get("id") in bots
            threads[conversation].append((at, "bot" if is_bot else "person"))
    answer = []
    for kind in ("person", "bot"):
        asked, waits = 0, []
        for thread in threads.values():
            questions = [at for at, writer in thread if writer == "contact"]
            if questions:
                asked += 1
                answers = [at for at, writer in thread if writer == kind and at >= min(questions)]
                waits += [min(answers) - min(questions)] if answers else []
        if asked:
            answer.append((kind, asked, len(waits), _share(waits, 0.5, 1_000), _share(waits, 0.9, 1_000)))
    return answer


def time_to_close(rows: Rows) -> Answer:
    times: dict[str | None, list[int]] = defaultdict(list)
    for row in rows["conversation_metrics"]:
        if row["timeToCloseMillis"] is not None:
            day = _day(row["firstCloseAt"])
            times[day and f"{day:%Y-%m}"].append(row["timeToCloseMillis"])
    answer = [(month, len(took), _share(took, 0.5, 60_000), _share(took, 0.9, 60_000)) for month, took in times.items()]
    return sorted(answer, key=lambda row: _falling(row[0] and int(row[0].replace("-", ""))))


def load_per_agent(rows: Rows) -> Answer:
    names = {row["id"]: row.get("name") for row in rows["users"]}
    bots = {row["id"] for row in rows["users"] if row.get("bot")}
    talks, open_talks, written = Counter[Any](), Counter[Any](), Counter[Any]()
    for row in rows["conversation_details"]:
        for agent in _agents(row.get("participants")):
            talks[agent] += 1
            open_talks[agent] += row.get("status") == "open"
    for row in rows["messages"]:
        author = row.get("author") or {}
        if author.get("type") == "user" and not author.get("bot") and row.get("type") in (None, "chat"):
            written[author.get("id")] += 1
    agents = {*names, *talks, *written} - bots - {None}
    answer = [(agent, names.get(agent), talks[agent], open_talks[agent], written[agent]) for agent in agents]
    return sorted(answer, key=lambda row: (-row[2], -row[4], row[0]))


def load_per_team(rows: Rows) -> Answer:
    answer = []
    for team in rows["teams"]:
        members = _agents(team.get("members"))
        talks = [row for row in rows["conversation_details"] if members & _agents(row.get("participants"))]
        answer.append(
            (
                team["id"],
                team.get("name"),
                team.get("status"),
                len(members),
                len(talks),
                sum(row.get("status") == "open" for row in talks),
                len(talks) / len(members) if talks else None,
            )
        )
    return sorted(answer, key=lambda row: (-row[4], row[0]))


def meetings_per_agent(rows: Rows) -> Answer:
    names = {row["id"]: row.get("name") for row in rows["users"]}
    booked: dict[int, list[Row]] = defaultdict(list)
    for row in rows["meetings"]:
        booked[row["agentId"]].append(row)
    answer = []
    for agent, meetings in booked.items():
        starts = [row["slotStart"] for row in meetings if row.get("slotStart") is not None]
        answer.append(
            (
                agent,
                names.get(agent),
                len(meetings),
                sum(row.get("status") == "CANCELED" for row in meetings),
                sum(row.get("conversationId") is not None for row in meetings),
                str(_day(min(starts))) if starts else None,
                str(_day(max(starts))) if starts else None,
            )
        )
    return sorted(answer, key=lambda row: (-row[2], row[0]))


def playbook_to_meeting(rows: Rows) -> Answer:
    names = {row["id"]: row.get("name") for row in rows["playbooks"]}
    statuses: dict[int | None, set[str | None]] = defaultdict(set)
    for row in rows["meetings"]:
        statuses[row.get("conversationId")].add(row.get("status"))
    first = min((row["slotStart"] for row in rows["meetings"] if row.get("slotStart") is not None), default=None)
    begun: dict[int, list[Row]] = {playbook: [] for playbook in names}
    for row in rows["conversation_details"]:
        if row.get("relatedPlaybookId") is not None:
            begun.setdefault(row["relatedPlaybookId"], []).append(row)
    answer = []
    for playbook, talks in begun.items():
        led = [row for row in talks if row["id"] in statuses]
        stands = [row for row in led if statuses[row["id"]] != {"CANCELED"}]
        recent = [row for row in talks if first is not None and (row.get("createdAt") or 0) >= first]
        percent = 100 * sum(row["id"] in statuses for row in recent) / len(recent) if recent else None
        answer.append((playbook, names.get(playbook), len(talks), len(led), len(stands), len(recent), percent))
    return sorted(answer, key=lambda row: (-row[3], -row[2], row[0]))


def contacts_by_account_domain(rows: Rows) -> Answer:
    contacts = Counter[str | None]()
    for row in rows["contacts"]:
        name, at, domain = (row.get("attributes") or {}).get("email", "").strip().lower().rpartition("@")
        contacts[domain if name and at else None] += 1
    answer = []
    for domain, count in contacts.items():
        accounts = [
            row for row in rows["accounts"] if domain and (row.get("domain") or "").lower() in (domain, f"www.{domain}")
        ]
        answer += [
            (domain, count, row.get("accountId"), row.get("name"), row.get("targeted")) for row in accounts or [{}]
        ]
    return sorted(answer, key=lambda row: (-row[1], row[0] is None, row[0] or "", row[2] or ""))


def coverage(rows: Rows) -> Answer:
    conversations = rows["conversations"]
    expected = {row["status"].lower(): row["count"] for row in rows["conversation_stats"]}
    found = Counter(row.get("status") for row in conversations)
    answer = [
        (
            f"status {status or '(none)'}",
            expected.get(status),
            found[status],
            _less(expected.get(status), found[status]),
        )
        for status in {*expected, *found}
    ]
    named = {row["contactId"] for row in conversations if row.get("contactId") is not None}
    parts = {
        "with details": ([row["id"] for row in conversations], _values(rows["conversation_details"], "id")),
        "with metrics": ([row["id"] for row in conversations], _values(rows["conversation_metrics"], "conversationId")),
        "with messages": ([row["id"] for row in conversations], _values(rows["messages"], "conversationId")),
        "contacts of conversations": (named, _values(rows["contacts"], "id")),
    }
    for what, (wanted, there) in parts.items():
        landed = sum(value in there for value in wanted)
        answer.append((what, len(wanted), landed, len(wanted) - landed))
    return sorted(answer)


ANSWERS: dict[str, Callable[[Rows], Answer]] = {
    answer.__name__: answer
    for answer in (
        volume_by_week_and_inbox,
        first_human_response,
        time_to_close,
        load_per_agent,
        load_per_team,
        meetings_per_agent,
        playbook_to_meeting,
        contacts_by_account_domain,
        coverage,
    )
}


def _day(millis: int | None) -> Any:
    return None if millis is None else datetime.fromtimestamp(millis // 1000, UTC).date()


def _share(values: Sequence[int], share: float, unit: int) -> float | None:
    """The quantile of the values, interpolated; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return (ordered[below] + (ordered[above] - ordered[below]) * (place - below)) / unit


def _agents(ids: Iterable[int | None] | None) -> set[int]:
    return {agent for agent in ids or () if agent is not None}


def _values(rows: Iterable[Row], field: str) -> set[Any]:
    return {row.get(field) for row in rows}


def _less(expected: int | None, found: int) -> int | None:
    return None if expected is None else expected - found


def _falling(value: int | None) -> tuple[bool, int]:
    return value is None, -(value or 0)


def _rising(value: int | None) -> tuple[bool, int]:
    return value is None, value or 0
