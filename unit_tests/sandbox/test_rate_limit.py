"""The leaky bucket, and the content of a 429."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from sandbox import Options
from sandbox.rate_limit import LeakyBucket, retry_after
from unit_tests.sandbox.conftest import Start


def test_a_bucket_takes_a_burst_and_drains_evenly() -> None:
    """Ten requests pass at once, then one every two seconds; the wait says when there is room again."""
    now = [0.0]
    bucket = LeakyBucket(10, 20.0, clock=lambda: now[0])
    assert [bucket.admit() for _ in range(10)] == [0.0] * 10
    assert bucket.admit() == pytest.approx(2.0)
    now[0] = 1.5
    assert bucket.admit() == pytest.approx(0.5)
    now[0] = 2.0
    assert bucket.admit() == 0.0
    assert bucket.admit() == pytest.approx(2.0)
    now[0] = 1000.0
    assert sum(bucket.admit() == 0.0 for _ in range(30)) == 10


def test_refused_requests_do_not_fill_the_bucket() -> None:
    """A client that keeps sending requests waits no longer than a client that waits."""
    now = [0.0]
    bucket = LeakyBucket(1, 10.0, clock=lambda: now[0])
    bucket.admit()
    for tenth in range(1, 100):
        now[0] = tenth / 10
        assert bucket.admit() == pytest.approx(10 - now[0])
    now[0] = 10.0
    assert bucket.admit() == 0.0


@pytest.mark.parametrize("form", ["seconds", "http-date", "none"])
def test_too_many_requests_are_refused(start: Start, form: Any) -> None:
    """The first request over the limit returns 429 with the documented error and the chosen header."""
    client = start(None, Options(rate_limit=(5, 3600.0), retry_after=form))
    answers = [client.get("/users/list") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[-1].json()["error"]["type"] == "rate_limit_error"
    header = answers[-1].headers.get("Retry-After")
    if form == "seconds":
        assert 600 < int(header or 0) <= 720
    elif form == "http-date":
        wait = parsedate_to_datetime(header or "") - datetime.now(UTC)
        assert 600 < wait.total_seconds() <= 722
    else:
        assert header is None


def test_every_request_counts_except_to_control_endpoints(start: Start) -> None:
    """Requests with refused tokens or unknown paths also count."""
    client = start(None, Options(rate_limit=(3, 3600.0)))
    client.get("/_sandbox/counts")
    paths = ["/users/list", "/nope", "/conversations/1", "/users/list"]
    assert [client.get(path).status_code for path in paths] == [200, 404, 404, 429]
    assert client.get("/_sandbox/journal").status_code == 200


def test_reports_have_their_own_limit(start: Start) -> None:
    """Reports are limited to 60 per minute by default, and the rest of the API still responds."""
    client = start(None, Options(reports_per_minute=4, rate_limit=None))
    body = {"metrics": ["createdAt"], "filters": [{"property": "updatedAt", "operation": "BETWEEN", "values": [0, 1]}]}
    statuses = [client.post("/reports/conversations", json=body).status_code for _ in range(6)]
    assert statuses == [200] * 4 + [429] * 2
    assert client.get("/users/list").status_code == 200


def test_waits_are_whole_seconds() -> None:
    """Waits are rounded up to at least one second."""
    assert [retry_after("seconds", wait) for wait in (0.01, 1.0, 1.2)] == [{"Retry-After": n} for n in ("1", "1", "2")]
    assert retry_after("none", 5) == {}
