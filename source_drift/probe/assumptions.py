"""What the connector assumes about Drift: one row for each assumption."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from source_drift.probe import judges
from source_drift.probe.judges import Judge, is_not_found, is_one_object, no_repeats, stands_at
from source_drift.probe.observations import ODD_SHAPE, CannotTell, Observations

Verdict = Literal["held", "refuted", "cannot tell"]


@dataclass(frozen=True)
class Assumption:
    """One assumption.

    Attributes:
        name: area and subject, in kebab case.
        claim: what the connector takes for granted.
        rule: the number of the behavior in AGENTS.md that depends on it.
        dialects: behaviors of the local Drift, by their names in sandbox/dialects.py, that contradict it.
        judge: says whether the observations agree with the claim, and why.
    """

    name: str
    claim: str
    rule: int
    dialects: tuple[str, ...]
    judge: Judge


@dataclass(frozen=True)
class Finding:
    """What the observations say about an assumption. The evidence is safe to publish: see judges.py."""

    assumption: Assumption
    verdict: Verdict
    evidence: str


def findings(seen: Observations) -> list[Finding]:
    """Return what the observations say about each assumption, in the order of the table."""
    return [_finding(one, seen) for one in ASSUMPTIONS]


def _finding(assumption: Assumption, seen: Observations) -> Finding:
    try:
        agrees, evidence = assumption.judge(seen)
    except CannotTell as reason:
        return Finding(assumption, "cannot tell", str(reason))
    except ODD_SHAPE as error:
        return Finding(assumption, "cannot tell", f"the responses have an unexpected shape ({type(error).__name__})")
    return Finding(assumption, "held" if agrees else "refuted", evidence)


def _area(area: str, names: str) -> tuple[str, ...]:
    """The dialects of an area; `names` are separated by blanks."""
    return tuple(f"{area}-{name}" for name in names.split())


# name, claim, rule, dialects, judge
ASSUMPTIONS: Sequence[Assumption] = tuple(
    Assumption(*row)
    for row in (
        # Where the rows are
        (
            "accounts-place",
            "The rows of /accounts are at data.accounts.",
            1,
            _area(
                "accounts",
                "at-root data-is-the-list root-list spring-page capitalised-keys embedded null-when-none 204-when-none",
            ),
            stands_at("accounts 1", "data.accounts"),
        ),
        (
            "list-place",
            "The rows of /conversations/list are at data.",
            1,
            _area("list", "under-conversations capitalised-keys old-field-empty no-data-when-none 204-when-none"),
            stands_at("list 1", "data"),
        ),
        (
            "messages-place",
            "The rows of messages are at data.messages.",
            1,
            _area("messages", "data-is-the-list at-root root-list"),
            stands_at("messages 1", "data.messages"),
        ),
        (
            "messages-none",
            "A conversation without messages has an empty list at data.messages.",
            1,
            _area("messages", "empty-data-object null empty-data-list 204-when-none error-in-data"),
            judges.messages_none,
        ),
        (
            "details-place",
            "One conversation is an object at data.",
            1,
            _area("details", "array-of-one at-root"),
            is_one_object("conversation"),
        ),
        (
            "contacts-place",
            "One contact is an object at data.",
            1,
            _area("contacts", "array-of-one at-root"),
            is_one_object("contact"),
        ),
        (
            "emails-place",
            "Contacts by email address are a list at data, even if there is only one.",
            1,
            ("emails-object",),
            judges.emails,
        ),
        (
            "emails-none",
            "An address that no contact has returns an empty list at data.",
            1,
            _area("emails", "404-for-nobody null-for-nobody 204-for-nobody"),
            judges.emails_none,
        ),
        (
            "attributes-place",
            "Contact attributes are at data.properties.",
            1,
            _area("attributes", "as-map data-is-the-list"),
            stands_at("attributes", "data.properties"),
        ),
        (
            "reports-none",
            "A report without rows has a count of 0 and an empty list at data.",
            1,
            _area("reports", "count-zero-without-data 204-when-none"),
            judges.reports_none,
        ),
        (
            "meetings-place",
            "The rows of meetings are at data.",
            1,
            _area("meetings", "under-meetings root-list"),
            stands_at("meetings", "data"),
        ),
        (
            "users-place",
            "The rows of /users/list are at data.",
            1,
            _area("users", "under-users root-list as-map status-error-without-data"),
            stands_at("users", "data"),
        ),
        (
            "teams-place",
            "The rows of /teams/org are at data.",
            1,
            _area("teams", "root-list null-when-none"),
            stands_at("teams", "data"),
        ),
        (
            "playbooks-place",
            "Playbooks are a list at the root.",
            1,
            _area("playbooks", "in-data 204-when-none"),
            stands_at("playbooks", ""),
        ),
        ("pages-place", "Landing pages are a list at the root.", 1, ("pages-in-data",), stands_at("pages", "")),
        (
            "stats-place",
            "conversationCount maps statuses in upper case to integers.",
            1,
            _area("stats", "in-data lower-case null-counts as-list"),
            judges.stats_shape,
        ),
        (
            "rows-have-keys",
            "Every row is an object with its key.",
            1,
            (
                *_area("accounts", "null-row row-without-key"),
                *_area("list", "null-row empty-row row-without-key"),
                *_area("messages", "null-row empty-row without-key"),
                *_area("meetings", "without-slug without-agent-id"),
                *_area("users", "null-row without-key"),
                *("playbooks-null-row", "pages-without-key", "reports-null-row", "attributes-null-row"),
            ),
            judges.row_keys,
        ),
        # How lists are paged
        (
            "accounts-size",
            "/accounts returns 65 rows if size is 65.",
            2,
            (
                *_area("accounts", "size-clamped-to-10 size-clamped-to-25 size-clamped-to-50 size-above-50-refused"),
                *_area("accounts", "page-of-25-named-as-asked deleted-filtered-after-paging"),
            ),
            judges.accounts_page_size,
        ),
        (
            "accounts-size-above-maximum",
            "/accounts lowers a greater size to 65 and does not refuse it.",
            2,
            _area("accounts", "size-clamped-to-10 size-clamped-to-25 size-clamped-to-50 size-above-50-refused"),
            judges.accounts_over,
        ),
        (
            "accounts-index",
            "index is a position, counted from 0.",
            2,
            _area("accounts", "index-is-page-number index-floored duplicates-across-pages"),
            judges.accounts_position,
        ),
        (
            "accounts-total",
            "data.total is the number of listed accounts.",
            2,
            _area("accounts", "total-counts-deleted total-estimated total-of-page total-text no-total"),
            judges.accounts_total,
        ),
        (
            "accounts-next",
            "A page of accounts names the next one in data.next, as a relative link.",
            2,
            (
                *_area("accounts", "next-absolute next-on-internal-host next-only-a-query next-is-number next-at-root"),
                *_area("accounts", "hal-links hal-links-with-a-list-of-rels link-header"),
            ),
            judges.accounts_next,
        ),
        (
            "accounts-last-page",
            "The last page of accounts has no data.next.",
            2,
            _area(
                "accounts",
                "next-on-every-page next-null-text next-blank next-minus-one-at-the-end next-false-at-the-end",
            ),
            judges.accounts_last,
        ),
        (
            "accounts-empty-page",
            "No page of accounts before the last one is empty.",
            2,
            ("accounts-empty-page-in-the-middle",),
            judges.accounts_hidden,
        ),
        (
            "accounts-deleted",
            "The list of accounts leaves out deleted ones.",
            2,
            ("accounts-deleted-rows-listed",),
            judges.accounts_deleted,
        ),
        (
            "list-limit",
            "/conversations/list returns 50 rows if limit is 50 and page_token is empty.",
            2,
            _area(
                "list",
                "pages-of-25 pages-of-7 limit-above-25-refused limit-above-25-times-out 422-for-the-limit"
                " blank-page-token-refused",
            ),
            judges.list_page_size,
        ),
        (
            "list-limit-above-maximum",
            "/conversations/list lowers a greater limit to 100 and does not refuse it.",
            2,
            _area("list", "pages-of-25 pages-of-7 limit-above-25-refused limit-above-25-times-out 422-for-the-limit"),
            judges.list_over,
        ),
        (
            "list-next",
            "A page of conversations names the next one in links.next, as an https link with a page_token.",
            2,
            _area(
                "list",
                "next-relative next-http next-on-internal-host next-with-other-parameter next-with-extra-parameters"
                " next-with-fragment next-encoded-twice hal-links links-array next-page-token-elsewhere"
                " pagination-next-integer pagination-next-object pagination-next-url pods-of-two-generations",
            ),
            judges.list_next,
        ),
        (
            "list-last-page",
            "The last page of conversations has links without next, and no pagination.",
            2,
            _area(
                "list",
                "last-page-full-without-links next-blank next-without-token next-is-self next-for-ever"
                " no-data-behind-the-end next-token-null-as-text more-false-as-text more-true-without-next"
                " cursors-differ-for-the-same-rows",
            ),
            judges.list_last,
        ),
        (
            "list-empty-page",
            "No page of conversations before the last one is empty.",
            2,
            _area("list", "three-empty-pages-in-the-middle first-page-empty-with-next"),
            judges.list_hidden,
        ),
        (
            "list-page-token",
            "A page_token that is sent again later returns the same page.",
            2,
            _area("list", "token-expired-once pods-of-two-generations"),
            judges.list_same_page,
        ),
        (
            "list-repeats",
            "No conversation is listed twice.",
            2,
            _area("list", "duplicates-across-pages repeats-rows next-floored"),
            no_repeats("list", "data"),
        ),
        (
            "list-order",
            "Conversations are listed by updatedAt, newest first.",
            3,
            _area("list", "oldest-first one-old-row-early one-future-row"),
            judges.list_order,
        ),
        (
            "messages-page",
            "A page of messages has 50 rows.",
            2,
            _area("messages", "hundred-rows-no-pagination pages-of-100 pages-of-20 all-at-once"),
            judges.messages_page_size,
        ),
        (
            "messages-next",
            "A page of messages names the next one in pagination: more is true, next is text of digits.",
            2,
            _area("messages", "next-url pagination-in-data more-missing more-as-text more-for-ever-without-next"),
            judges.messages_next,
        ),
        (
            "messages-last-page",
            "The last page of messages has pagination with more false and without next.",
            2,
            _area("messages", "fifty-rows-no-pagination empty-pagination more-false-with-next next-for-ever"),
            judges.messages_last,
        ),
        (
            "messages-order",
            "Messages are listed oldest first.",
            2,
            _area("messages", "newest-first dated-minus-one dated-in-microseconds"),
            judges.messages_order,
        ),
        (
            "messages-repeats",
            "No message is listed twice.",
            2,
            ("messages-pages-overlap",),
            no_repeats("messages", "data.messages"),
        ),
        (
            "users-pages",
            "/users/list returns all users in one response.",
            2,
            _area("users", "paged-by-pagination paged-by-links"),
            judges.users_whole,
        ),
        # Windows
        (
            "reports-metrics",
            "A report accepts all metric names that the connector asks for, in one request.",
            4,
            _area("reports", "unknown-metric 422-for-an-unknown-metric know-one-metric more-than-ten-metrics-refused"),
            judges.reports_metrics,
        ),
        (
            "reports-form",
            "The ends of a report's window are epoch milliseconds.",
            4,
            _area("reports", "days-wanted days-and-an-unknown-metric"),
            judges.reports_form,
        ),
        (
            "reports-count",
            "count is the number of rows of the report.",
            4,
            _area("reports", "no-count count-text capped-at-100 capped-with-more"),
            judges.reports_count,
        ),
        (
            "reports-whole",
            "A report is not truncated.",
            4,
            _area(
                "reports",
                "capped-at-100 capped-at-100-without-count capped-at-10-without-count capped-with-more"
                " null-rows-at-the-maximum",
            ),
            judges.reports_whole,
        ),
        (
            "reports-window",
            "A report's window may be as long as all years since 2014.",
            4,
            _area("reports", "ranges-over-90-days-refused"),
            judges.reports_window,
        ),
        ("reports-ends", "Both ends belong to a report's window.", 4, ("reports-exclusive-ends",), judges.reports_ends),
        (
            "reports-fresh",
            "A report contains the newest conversation of the list.",
            4,
            ("reports-lag",),
            judges.reports_fresh,
        ),
        (
            "reports-at-once",
            "A report is computed at once, not as a job.",
            4,
            ("reports-202-while-it-runs",),
            judges.reports_at_once,
        ),
        (
            "reports-numbers",
            'Metrics are a list of numbers, with "NaN" for missing ones.',
            7,
            _area(
                "reports",
                "numbers-as-text blank-for-missing null-for-missing bare-nan booleans times-in-iso metrics-as-map",
            ),
            judges.reports_numbers,
        ),
        (
            "meetings-limit",
            "A limit of 1,000 is honored: one request returns what its two halves return.",
            4,
            _area("meetings", "limit-clamped-to-100 limit-clamped-to-250 limit-above-250-refused"),
            judges.meetings_whole,
        ),
        (
            "meetings-range",
            "Meetings can be requested up to two years ahead.",
            4,
            _area("meetings", "year-refused far-future-refused"),
            judges.meetings_range,
        ),
        (
            "meetings-history",
            "A start of 0 returns the meetings of the last 30 days.",
            4,
            _area("meetings", "older-refused older-answered-with-nothing"),
            judges.meetings_history,
        ),
        (
            "meetings-keys",
            "Every meeting has slug, agentId and updatedAt, and no slug occurs twice for one agent.",
            4,
            _area("meetings", "without-slug without-agent-id repeated-in-every-range"),
            judges.meetings_keys,
        ),
        # Errors
        (
            "errors-unknown-conversation",
            "A conversation that does not exist returns 404 with error.type not_found.",
            6,
            (
                *_area("conversation", "410-for-ever 404-plain-text-for-ever 404-in-errors-list 200-not-found"),
                *_area("conversation", "data-null 400-for-ever 200-error-for-ever"),
                *_area("details", "empty-object empty-list"),
            ),
            is_not_found("conversation gone"),
        ),
        (
            "errors-unknown-contact",
            "A contact that does not exist returns 404 with error.type not_found.",
            6,
            _area("contacts", "null-when-erased empty-object-when-erased empty-list-when-erased 410"),
            is_not_found("contact gone"),
        ),
        (
            "errors-bad-request",
            "A missing parameter returns 400 with error.type validation_error.",
            5,
            ("meetings-older-answered-with-nothing",),
            judges.bad_request,
        ),
        (
            "errors-wrong-token",
            "A wrong token returns 401 with error.type authentication_error.",
            5,
            _area("token", "403-when-expired 403-when-access-token-expires 401-without-body-when-access-token-expires"),
            judges.wrong_token,
        ),
        (
            "errors-missing-scope",
            "A missing scope returns 403.",
            5,
            ("token-401-for-missing-scope",),
            judges.missing_scopes,
        ),
        (
            "errors-gateway",
            "Every response is JSON and none is an error of the server.",
            5,
            (
                *_area("gateway", "502-now-and-then 520-now-and-then 204-once empty-body-once html-once"),
                *_area("gateway", "error-object-once 404-html-during-deploy 503-for-150-seconds 429-html"),
                *("token-info-html", "conversation-404-plain-text-for-ever", "conversation-200-error-once"),
            ),
            judges.own_json,
        ),
        # Values
        (
            "details-fresh",
            "One conversation is not older than the list says.",
            6,
            ("details-older-than-the-list",),
            judges.details_fresh,
        ),
        (
            "list-contact-ids",
            "Every conversation has a positive contactId.",
            6,
            _area("list", "contact-id-zero contact-id-null contact-id-minus-one"),
            judges.list_contacts,
        ),
        (
            "values-timestamps",
            "Every timestamp is an integer in epoch milliseconds, from 2010 to now.",
            7,
            (
                *_area("list", "updated-at-null updated-at-zero times-in-seconds times-in-iso times-as-text"),
                *_area("list", "updated-at-with-fractions one-future-row"),
                *_area("messages", "dated-minus-one dated-in-microseconds created-at-in-iso"),
            ),
            judges.timestamps,
        ),
        (
            "values-types",
            "Every declared field has the declared type.",
            13,
            (
                *_area("list", "ids-as-text ids-as-floats times-as-floats"),
                *_area("users", "ids-as-text"),
                *_area("messages", "ids-as-text"),
                *_area("details", "ids-as-text"),
                *_area("contacts", "ids-as-floats"),
                *_area("reports", "ids-as-text"),
            ),
            judges.field_types,
        ),
        (
            "values-undeclared-fields",
            "Responses have only the fields that the schemas and the API description declare.",
            13,
            (
                *_area("accounts", "null-list-beside-facets"),
                *_area("list", "included-beside-data"),
                *_area("reports", "page-named-and-ignored capped-with-more"),
                *_area("json", "error-null errors-empty warnings status-beside-data"),
                *_area("token-info", "token-renamed"),
            ),
            judges.declared_fields,
        ),
        (
            "values-strict-json",
            "Bodies are strict JSON in UTF-8.",
            7,
            (
                *_area("json", "byte-order-mark trailing-garbage"),
                *_area("messages", "lone-surrogate invalid-utf8"),
                *_area("reports", "bare-nan"),
            ),
            judges.strict_json,
        ),
        # The token
        (
            "token-info-place",
            "token_info returns the scopes of the token at the root, as text.",
            11,
            _area("token-info", "400 403 404 500 html empty-object in-data scope-list"),
            judges.token_info_shape,
        ),
        (
            "token-info-token",
            "token_info returns the token in access_token alone.",
            9,
            _area("token-info", "token-renamed token-as-id"),
            judges.token_info_secret,
        ),
        (
            "redirects",
            "Drift redirects no request.",
            9,
            _area("gateway", "redirects-to-another-host redirects-to-the-slash"),
            judges.no_redirects,
        ),
        # The transport
        (
            "limits",
            "Five requests a second are not throttled, and no header announces a limit.",
            10,
            (
                *_area("gateway", "throttle-as-403 throttle-as-503 429-html retry-after-milliseconds"),
                *_area("gateway", "retry-after-negative retry-after-fraction retry-after-soon"),
            ),
            judges.not_throttled,
        ),
        (
            "clock",
            "Every response has a Date within 10 seconds of this machine's clock.",
            7,
            _area("gateway", "date-30-seconds-behind date-a-day-ahead date-from-cache date-unreadable no-date"),
            judges.clock,
        ),
        ("statuses", "A success is status 200.", 5, _area("gateway", "201 206 204-once"), judges.status_200),
        (
            "media-types",
            "JSON is sent as application/json in UTF-8.",
            5,
            _area("gateway", "wrong-charset text-plain text-html no-content-type"),
            judges.json_type,
        ),
    )
)
