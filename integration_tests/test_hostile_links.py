"""The token goes to one host, whatever Drift's answers link or redirect to."""

from urllib.parse import urlsplit

from integration_tests.connector import CHILDREN, ENDPOINTS, EVERY_STREAM, TOKEN, access_token, catalog, run
from integration_tests.test_read import assert_complete
from sandbox import Drift, Fault, Options, Sandbox

# {other} is the host and port of a second server, {ours} of the sandbox; {query} names the page as Drift would.
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
    """Nothing that the second server was sent holds the token."""
    for request in other.journal:
        assert TOKEN not in f"{request.path} {request.raw_query!r} {request.raw_headers} {request.body!r}", request


def test_only_the_query_is_taken_from_a_link() -> None:
    """Each page links to the next in another place; that page is asked of our own host, and nothing of the other."""
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
    """A second host that is redirected to never sees the token, its records are never delivered, and it is named."""
    drift = Drift(accounts=70, conversations=6, users=3)
    # The list leads to the right place, or what hangs on it would never be asked for; it has a test of its own.
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
    """Where the list of conversations is redirected, neither it nor what hangs on it comes from the other host."""
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
    """Drift may move an endpoint on its own host."""
    drift = Drift(accounts=10, conversations=10, users=3)
    with Sandbox(drift, Options(reports_per_minute=None)) as ours:
        location = f"{ours.url}{{path}}?{{query}}"
        moved = ("accounts", "conversations", "users", *CHILDREN, "meetings")
        ours.faults = [Fault(ENDPOINTS[stream], "redirect", location=location) for stream in moved]
        read = run("read", access_token(ours.url), catalog(*EVERY_STREAM))
    assert_complete(read, drift)
