"""The token goes to one host, whatever Drift's responses link or redirect to."""

from urllib.parse import urlsplit

from integration_tests.connector import CHILDREN, ENDPOINTS, EVERY_STREAM, TOKEN, access_token, catalog, run
from integration_tests.test_read import assert_complete
from sandbox import Drift, Fault, Options, Sandbox

# {other} is the host and port of a second server, {ours} that of the sandbox; {query} is the query of Drift's link.
LINKS = [
    "http://{other}{path}?{query}",
    "https://{other}{path}?{query}",
    "//{other}{path}?{query}",
    r"/\{other}{path}?{query}",
    r"http:\\{other}{path}?{query}",
    "http://{ours}@{other}{path}?{query}",
    "http://user:password@{other}{path}?{query}",
    "http://{ours}.{other}{path}?{query}",
    "http://127.0.0.1:1{path}?{query}",
    "ftp://{other}{path}?{query}",
    "javascript:fetch('http://{other}')?{query}",
    "http://{other}?{query}#@{ours}{path}",
    "{path}?{query}&api_url=http://{other}",
]
CODES = (301, 302, 303, 307, 308)


def filled(link: str, ours: Sandbox, other: Sandbox) -> str:
    return link.replace("{ours}", urlsplit(ours.url).netloc).replace("{other}", urlsplit(other.url).netloc)


def assert_no_token(other: Sandbox) -> None:
    """Check that no request to the second server contains the token."""
    for request in other.journal:
        assert TOKEN not in f"{request.path} {request.raw_query!r} {request.raw_headers} {request.body!r}", request


def test_only_the_query_of_a_link_is_used() -> None:
    """Each page links to another host; the next page is requested from our host only."""
    streams = ("accounts", "conversations")
    drift = Drift(accounts=65 * (len(LINKS) + 1), conversations=50 * (len(LINKS) + 1))
    with Sandbox(drift, Options(paging="links")) as ours, Sandbox(drift) as other:
        ours.faults = [
            Fault(ENDPOINTS[stream], "foreign_link", link=filled(link, ours, other))
            for stream in streams
            for link in LINKS
        ]
        read = run("read", access_token(ours.url), catalog(*streams))
        assert sum(request.fault == "foreign_link" for request in ours.journal) == len(streams) * len(LINKS)
        assert len(other.journal) == 0, list(other.journal)
    assert_complete(read, drift, streams)


def test_a_redirect_to_another_host_is_refused() -> None:
    """The other host never gets the token, its records are never delivered, and the error names it."""
    drift = Drift(accounts=70, conversations=6, users=3)
    # The list is not redirected, or its children would never be requested; it has its own test.
    streams = [stream for stream in EVERY_STREAM if stream != "conversations"]
    with Sandbox(drift) as ours, Sandbox(drift) as other:
        location = f"{other.url}{{path}}?{{query}}"
        ours.faults = [
            Fault(ENDPOINTS[stream], "redirect", times=None, location=location, code=CODES[place % len(CODES)])
            for place, stream in enumerate(streams)
        ]
        config = access_token(ours.url, contact_emails=["somebody@example.com"])
        read = run("read", config, catalog(*streams), longest=60)
        checked = run("check", access_token(ours.url))
        assert_no_token(other)
        host = urlsplit(other.url).netloc
    assert read.code == 1
    for stream in streams:
        assert read.statuses[stream] == "INCOMPLETE"
        assert read.records(stream) == []
        assert "redirects to another host, " in read.error(stream), (stream, read.error(stream))
        assert host.partition(":")[0] in read.error(stream)
        assert "wound down" in read.error(stream), (stream, read.error(stream))
    assert checked.connection[0] == "FAILED"
    assert "redirects" in checked.connection[1], checked.connection


def test_a_redirect_of_the_list_is_refused() -> None:
    """If the list of conversations is redirected, neither its rows nor their children come from the other host."""
    drift = Drift(conversations=4)
    streams = ("conversations", *CHILDREN)
    with Sandbox(drift) as ours, Sandbox(drift) as other:
        location = f"{other.url}{{path}}?{{query}}"
        ours.faults = [Fault(ENDPOINTS["conversations"], "redirect", times=None, location=location)]
        read = run("read", access_token(ours.url), catalog(*streams))
        assert_no_token(other)
    assert read.statuses == dict.fromkeys(streams, "INCOMPLETE")
    for stream in streams:
        assert read.records(stream) == []
        assert "redirects" in read.error(stream), (stream, read.error(stream))


def test_a_redirect_on_the_same_host_is_followed() -> None:
    """A redirect to another path on the same host works."""
    drift = Drift(accounts=10, conversations=10, users=3)
    with Sandbox(drift, Options(reports_per_minute=None)) as ours:
        location = f"{ours.url}{{path}}?{{query}}"
        moved = ("accounts", "conversations", "users", *CHILDREN, "meetings")
        ours.faults = [Fault(ENDPOINTS[stream], "redirect", location=location) for stream in moved]
        read = run("read", access_token(ours.url), catalog(*EVERY_STREAM))
    assert_complete(read, drift)
