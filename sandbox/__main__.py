"""`python -m sandbox serve`: starts a local Drift on the command line."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Container, Sequence
from datetime import datetime
from inspect import signature
from pathlib import Path
from typing import Any, get_args

from sandbox import options as choices
from sandbox.data import Drift
from sandbox.dialects import DIALECTS
from sandbox.faults import KINDS, Fault
from sandbox.options import ALL_SCOPES, WRITE_SCOPES, Options
from sandbox.server import Sandbox

_DRIFT = "data"
_BEHAVIOR = "Drift's behavior"
_WRITES = "contacts and writes"
_TOKENS = "tokens"
_LIMITS = "limits"
_FAULTS = "faults"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM. Return 0, or 2 if an option is invalid or the port is in use."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        if not 0 <= given.port <= 65535:
            raise ValueError("--port must be 0 to 65535")
        drift = Drift(**_chosen(given, signature(Drift).parameters))
        behavior = Options(**_chosen(given, signature(Options).parameters))
        faults = [Fault.parse(line) for line in given.fault]
        if given.faults:
            faults += Fault.from_json(json.loads(given.faults.read_text()))
    except (ValueError, TypeError, OSError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 2
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with Sandbox(drift, behavior, faults=faults, port=given.port) as sandbox:
            print(f"Drift is at {sandbox.url}, token: {next(iter(behavior.tokens), 'none, only OAuth')}", flush=True)
            stop.wait()
    except OSError as error:
        another = "--port 8101, through make ARGS='--port 8101'"
        print(f"sandbox: {error.strerror}; choose another: {another}", file=sys.stderr)
        return 2
    return 0


def _chosen(given: argparse.Namespace, names: Container[str]) -> dict[str, Any]:
    """Return only the arguments that were given on the command line; `Drift` and `Options` define the defaults."""
    return {name: value for name, value in vars(given).items() if name in names}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="A local mock of Drift's API.")
    serve = parser.add_subparsers(dest="command", required=True, metavar="serve").add_parser(
        "serve",
        help="serve Drift's API on 127.0.0.1",
        description="Serve Drift's API on 127.0.0.1 until interrupted. While it runs:\n"
        "  GET  /_sandbox/journal  the requests so far (?limit=100)\n"
        "  GET  /_sandbox/counts   the number of rows of each stream\n"
        '  POST /_sandbox/change   change conversations, for example {"touch": 3, "add": 2, "delete": 1}',
        epilog=_kinds(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    serve.add_argument("--port", type=int, default=8100, help="port to listen on; 0 uses a free port (default: 8100)")
    _add_data(serve.add_argument_group(_DRIFT))
    _add_behavior(serve.add_argument_group(_BEHAVIOR))
    _add_writes(serve.add_argument_group(_WRITES))
    _add_tokens(serve.add_argument_group(_TOKENS))
    _add_limits(serve.add_argument_group(_LIMITS))
    group = serve.add_argument_group(_FAULTS, "errors that the server simulates; the kinds are listed below")
    group.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="'KIND [METHOD] PATH [name=value …]'",
        help="add a fault; repeatable. PATH is an exact path, a glob, or a regular expression that begins with ^. "
        "times=3 affects three requests, times=always all of them (default: 1); after=2 skips the first two. "
        "Example: 'status /users/list status=429 times=3'",
    )
    group.add_argument(
        "--faults",
        type=Path,
        default=None,
        metavar="PLAN.JSON",
        help='JSON list of faults: {"path": …, "kind": …, …}',
    )
    return parser


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--seed", type=int, help="seed of the data; the same seed gives the same rows (default: 1)")
    group.add_argument("--accounts", type=int, help="number of listed accounts (default: 120)")
    group.add_argument("--conversations", type=int, help="number of conversations, up to about 1000000 (default: 500)")
    group.add_argument("--contacts", type=int, help="number of contacts (default: 0.7 per conversation)")
    group.add_argument("--users", type=int, help="number of agents and bots (default: 12)")
    group.add_argument("--meetings", type=int, help="number of booked meetings (default: 0.05 per conversation)")
    group.add_argument("--teams", type=int, help="number of teams (default: 4)")
    group.add_argument("--playbooks", type=int, help="number of active playbooks (default: 8)")
    group.add_argument("--landing-pages", type=int, help="number of landing pages (default: 5)")
    group.add_argument("--messages-per-conversation", type=float, metavar="MEAN", help="mean number (default: 6)")
    group.add_argument("--history-days", type=int, help="age of the oldest conversation in days (default: 1095)")
    group.add_argument("--ties", type=int, help="number of conversations with the same updatedAt (default: 0)")
    group.add_argument(
        "--now",
        type=_moment,
        help="no row is newer; epoch milliseconds or ISO format (default: a minute ago)",
    )


def _add_behavior(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--paging",
        choices=get_args(choices.Paging),
        help="pages of the conversation list: generation 1 (next), generation 2 (links) or both, as recorded (default)",
    )
    group.add_argument(
        "--last-page",
        choices=get_args(choices.LastPage),
        help="how a list ends: no link (omitted, default), null, an empty string, only more: false, or an additional "
        "empty page, which may link to itself again",
    )
    group.add_argument(
        "--over-limit",
        choices=get_args(choices.OverLimit),
        help="page sizes above the maximum (default: clamp)",
    )
    group.add_argument("--link-host", help="scheme and host of absolute links (default: https://api.drift.com)")
    group.add_argument(
        "--accounts-next",
        choices=get_args(choices.AccountsNext),
        help="format of data.next: /accounts?…, /accounts/?… or an absolute URL (default: relative)",
    )
    group.add_argument(
        "--contacts-by-email",
        choices=get_args(choices.ContactsByEmail),
        help="return a single match in an array (default) or as an object",
    )
    group.add_argument(
        "--token-info",
        choices=get_args(choices.TokenInfo),
        help="400: accept the bearer token but refuse the body (default: normal)",
    )
    group.add_argument(
        "--dialect",
        dest="dialects",
        action=_Dialect,
        metavar="NAME",
        help="deviate from the documented behavior in one way, as a real backend might; repeatable",
    )
    group.add_argument("--dialects", nargs=0, action=_ListDialects, help="list the dialects and exit")
    group.add_argument("--latency", type=float, metavar="SECONDS", help="delay before each response (default: 0)")
    group.add_argument(
        "--reports-row-cap",
        type=int,
        metavar="ROWS",
        help="truncate reports, but not their count",
    )


def _add_writes(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--email-case",
        choices=get_args(choices.EmailCase),
        help="whether look-ups by email distinguish uppercase and lowercase (default: sensitive)",
    )
    group.add_argument(
        "--index-lag",
        type=int,
        metavar="REQUESTS",
        help="look-ups find a new contact only after this number of requests (default: 0)",
    )
    group.add_argument(
        "--duplicate-status", type=int, choices=(400, 409), help="status for a contact that exists (default: 409)"
    )
    group.add_argument(
        "--new-attributes",
        choices=get_args(choices.NewAttributes),
        help="whether a value of an unknown attribute creates it, is ignored, or is refused (default: created)",
    )
    group.add_argument(
        "--attribute-types",
        choices=get_args(choices.AttributeTypes),
        help="whether a value of the wrong type is refused (default: ignored)",
    )
    group.add_argument(
        "--tags",
        choices=get_args(choices.Tags),
        help="whether tags work, are accepted but ignored, or return 404 (default: work)",
    )
    group.add_argument(
        "--erasure-delay",
        type=int,
        metavar="REQUESTS",
        help="POST /gdpr/delete takes effect after this number of requests (default: 10)",
    )


def _add_tokens(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--token",
        dest="tokens",
        action=_Token,
        metavar="NAME[=SCOPE,SCOPE…]",
        help="accept this private token instead of sandbox-token; repeatable; scopes of reads (default: all): "
        f"{', '.join(ALL_SCOPES)}; of writes (default: none): {', '.join(WRITE_SCOPES)}",
    )
    group.add_argument("--token-uses", type=int, metavar="N", help="private tokens expire after N requests")
    group.add_argument("--token-seconds", type=float, metavar="S", help="private tokens expire S seconds after start")
    group.add_argument("--client-id", help="client ID of the OAuth app (default: sandbox-client)")
    group.add_argument("--client-secret", help="client secret of the OAuth app (default: sandbox-secret)")
    group.add_argument("--refresh-token", help="the first refresh token (default: sandbox-refresh-1)")
    group.add_argument("--authorization-code", help="code that can be exchanged once (default: sandbox-code)")
    group.add_argument("--oauth-scopes", type=_scopes, metavar="SCOPE,SCOPE…", help="of issued tokens (default: all)")
    group.add_argument(
        "--oauth-names", choices=get_args(choices.OAuthNames), help="field names in the token response (default: snake)"
    )
    group.add_argument("--access-token-seconds", type=float, metavar="S", help="life of issued tokens (default: 7200)")
    group.add_argument("--access-token-uses", type=int, metavar="N", help="issued tokens expire after N requests")
    group.add_argument(
        "--keep-refresh-tokens",
        dest="rotate_refresh_tokens",
        action="store_false",
        help="a refresh returns the same refresh token instead of a new one",
    )
    group.add_argument(
        "--missing-scope-status", type=int, choices=(401, 403), help="status if a token lacks a scope (default: 403)"
    )


def _add_limits(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--rate-limit",
        type=_rate,
        metavar="REQUESTS/SECONDS|off",
        help="leaky-bucket rate limit for all requests (default: 1000/20)",
    )
    group.add_argument("--reports-per-minute", type=int, metavar="N", help="rate limit for /reports/ (default: 60)")
    group.add_argument(
        "--retry-after", choices=get_args(choices.RetryAfter), help="format of Retry-After in a 429 (default: seconds)"
    )


class _Token(argparse.Action):
    """Collects tokens; the first one replaces the default."""

    def __call__(self, _: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        name, _, scopes = values.partition("=")
        tokens = dict(getattr(namespace, "tokens", {}))
        tokens[name] = _scopes(scopes) if "=" in values else ALL_SCOPES
        namespace.tokens = tokens


class _Dialect(argparse.Action):
    """Collects the names of dialects."""

    def __call__(self, _: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        namespace.dialects = (*getattr(namespace, "dialects", ()), values)


class _ListDialects(argparse.Action):
    """Prints each dialect and why a backend may behave this way."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        width = max(map(len, DIALECTS))
        print("\n".join(f"{name:<{width}}  {dialect.why}" for name, dialect in DIALECTS.items()))
        parser.exit()


def _scopes(text: str) -> tuple[str, ...]:
    return tuple(scope for scope in text.replace(",", " ").split() if scope)


def _rate(text: str) -> tuple[int, float] | None:
    if text == "off":
        return None
    requests, slash, seconds = text.partition("/")
    if not slash:
        raise argparse.ArgumentTypeError("use REQUESTS/SECONDS, for example 1000/20, or off")
    return int(requests), float(seconds)


def _moment(text: str) -> int:
    return int(text) if text.isdigit() else int(datetime.fromisoformat(text).timestamp() * 1000)


def _kinds() -> str:
    lines = ["kinds of faults and their details (with defaults):"]
    for kind, (meaning, details) in KINDS.items():
        if kind == "body":
            continue
        lines.append(f"  {kind:<16} {meaning}")
        lines += [f"  {'':<16}   {name}={json.dumps(value, ensure_ascii=False)}" for name, value in details.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
