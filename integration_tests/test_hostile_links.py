"""The token goes to one host, whatever Drift's answers link or redirect to."""

from urllib.parse import urlsplit

import pytest

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
UNREADABLE = [
    "http://{other}/#@{ours}{path}?{query}",
    "http://{other}{path}",
    "http://[::1{path}?{query}",
]
# The streams whose answers link to a next page, and two that have none.
LINKED = ("accounts", "conversations", "users", "token_info")
PATHS = [ENDPOINTS[stream] for stream in LINKED]


def filled(link: str, ours: Sandbox, other: Sandbox) -> str:
    return link.replace("{ours}", urlsplit(ours.url).netloc).replace("{other}", urlsplit(other.url).netloc)


def assert_no_token(other: Sandbox) -> None:
    """Nothing that the second server was sent holds the token."""
    for request in other.journal:
        assert TOKEN not in f"{request.path} {request.raw_query!r} {request.raw_headers} {request.body!r}", request


@pytest.mark.parametrize("link", LINKS)
def test_only_the_cursor_is_taken_from_a_link(link: str) -> None:
    """A link to another place names the next page; that page is asked of our own host, and nothing of the other."""
    drift = Drift(accounts=130, conversations=120, users=1)
    with Sandbox(drift, Options(paging="links")) as ours, Sandbox(drift) as other:
        link = filled(link, ours, other)
        ours.faults = [Fault(path, "foreign_link", times=None, link=link) for path in PATHS]
        read = run("read", access_token(ours.url), catalog(*LINKED))
        assert len(other.journal) == 0, list(other.journal)
    assert_complete(read, drift, LINKED)


@pytest.mark.parametrize("link", UNREADABLE)
def test_a_link_without_a_cursor_is_an_error(link: str) -> None:
    """A link that names a next page which cannot be made out fails the stream: it is not the end of the walk."""
    with Sandbox(Drift(accounts=130, conversations=120), Options(paging="links")) as ours, Sandbox() as other:
        link = filled(link, ours, other)
        ours.faults = [Fault(path, "foreign_link", times=None, link=link) for path in PATHS]
        read = run("read", access_token(ours.url), catalog("accounts", "conversations"))
        assert len(other.journal) == 0, list(other.journal)
    assert read.code == 1
    assert read.statuses == {"accounts": "INCOMPLETE", "conversations": "INCOMPLETE"}
    assert read.error("accounts") == "Drift named a next page of the accounts in a way that cannot be read."
    assert read.error("conversations") == "Drift named a next page of the conversation list without a page_token."


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_refused(code: int) -> None:
    """A second host that is redirected to never sees the token, and its records are never delivered."""
    drift = Drift(accounts=70, conversations=4, users=3)
    # The list leads to the right place, or what hangs on it would never be asked for; it has a test of its own.
    redirected = [path for stream, path in ENDPOINTS.items() if stream != "conversations"]
    streams = [stream for stream in EVERY_STREAM if stream != "conversations"]
    with Sandbox(drift) as ours, Sandbox(drift) as other:
        location = f"{other.url}{{path}}?{{query}}"
        ours.faults = [Fault(path, "redirect", times=None, location=location, code=code) for path in redirected]
        read = run("read", access_token(ours.url, contact_emails=["somebody@example.com"]), catalog(*streams))
        checked = run("check", access_token(ours.url))
        assert_no_token(other)
    assert read.code == 1
    for stream in streams:
        assert read.statuses[stream] == "INCOMPLETE"
        assert read.records(stream) == []
        assert "redirects" in read.error(stream), (stream, read.error(stream))
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
        ours.faults = [
            Fault(path, "redirect", location=location)
            for path in [*PATHS[:3], *[ENDPOINTS[stream] for stream in (*CHILDREN, "meetings")]]
        ]
        read = run("read", access_token(ours.url), catalog(*EVERY_STREAM))
    assert_complete(read, drift)
