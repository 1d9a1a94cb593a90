"""The console script `destination-drift`."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Sequence
from contextlib import closing
from threading import Thread

from airbyte_cdk.models import Status

from destination_drift.destination import DestinationDrift
from destination_drift.erasure import close_request
from destination_drift.errors import ConfigError, InputError, OutcomeUnknown, TransientError
from destination_drift.flow import Stopped
from destination_drift.ledger import init_ledger, open_ledger
from destination_drift.messages import Output
from destination_drift.settings import load

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and end the process: 0, 1 after an error, 2 for wrong arguments, 143 after SIGTERM or SIGINT."""
    given = parser().parse_args(arguments)
    # Log lines of libraries quote URLs, and with them email addresses.
    logging.disable(logging.CRITICAL)
    output = Output(sys.stdout.buffer)
    destination = DestinationDrift(output)
    if given.command == "write":
        # A thread waits for the signal, so that it never interrupts a row.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        Thread(target=_stop_at_signal, args=(destination,), daemon=True).start()
    # Not sys.stdin, and never closed: both would wait for the thread that reads it.
    sys.exit(run(given, destination, output, open(sys.stdin.fileno(), "rb", closefd=False)))  # noqa: SIM115


def run(given: argparse.Namespace, destination: DestinationDrift, output: Output, lines: Iterable[bytes]) -> int:
    """Run a command, with `lines` as its input, and return the exit code."""
    try:
        _run(given, destination, output, lines)
    except Stopped:
        output.log("INFO", "The sync was stopped. What follows the last state must be sent again.")
        return 143
    except ConfigError as error:
        output.error("config_error", str(error))
    except TransientError as error:
        output.error("transient_error", str(error))
    except InputError as error:
        output.error("system_error", str(error))
    except OutcomeUnknown:
        output.error("transient_error", "Drift did not say whether it applied a request. Run the sync again.")
    except BrokenPipeError:
        # Nobody reads the messages any more. What is still in Python's buffer would be an error when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        # The text of an exception may be a value of a row; where it was raised is code.
        where = "".join(traceback.format_tb(error.__traceback__))
        message = f"destination-drift failed with {type(error).__name__}. Report the stack trace."
        output.error("system_error", message, where)
    else:
        return 0
    return 1


def _run(given: argparse.Namespace, destination: DestinationDrift, output: Output, lines: Iterable[bytes]) -> None:
    match given.command:
        case "spec":
            output.message("SPEC", "spec", destination.specification())
        case "check":
            output.message("CONNECTION_STATUS", "connectionStatus", _checked(given.config, destination))
        case "discover":
            operations = destination.discover(load(given.config, "config"))
            output.message("DESTINATION_CATALOG", "destination_catalog", {"operations": operations})
        case "ledger":
            settings = destination.settings(load(given.config, "config"))
            if given.action == "init":
                path = init_ledger(settings)
                output.log("INFO", f"The ledger {path.name} was created. Keep it, make backups, and keep audit_key.")
            else:
                with closing(open_ledger(settings)) as ledger:
                    output.log("INFO", close_request(ledger, given.request_id, time.time_ns() // 1_000_000))
        case "write":
            destination.write(load(given.config, "config"), load(given.catalog, "catalog"), lines)


def _checked(path: str, destination: DestinationDrift) -> dict[str, str | None]:
    try:
        checked = destination.check(logging.getLogger(), load(path, "config"))
    except ConfigError as error:
        return {"status": Status.FAILED.value, "message": str(error)}
    return {"status": checked.status.value, "message": checked.message}


def _stop_at_signal(destination: DestinationDrift) -> None:
    signal.sigwait(_SIGNALS)
    destination.stop()


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="destination-drift", description="Airbyte destination for Drift.")
    commands = whole.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("spec", help="print the settings")
    for name, text in {
        "check": "ask Drift whether the token is valid and has the scopes; the exit code is 0 in any case",
        "discover": "print the objects and attributes that columns can be mapped to",
        "write": "write the records on standard input to Drift",
    }.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("--config", required=True, metavar="FILE", help="JSON file with the settings")
        if name == "write":
            command.add_argument("--catalog", required=True, metavar="FILE", help="JSON file: configured catalog")
    ledger = commands.add_parser("ledger", help="manage the memory that erasure and mirrored audiences need")
    actions = ledger.add_subparsers(dest="action", required=True, metavar="action")
    for name, text in {
        "init": "create it",
        "close": "end an erasure request that stays open, because you decide so",
    }.items():
        action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        if name == "close":
            action.add_argument("request_id", metavar="REQUEST_ID", help="the request_id of its row")
        action.add_argument("--config", required=True, metavar="FILE", help="JSON file with the settings")
    return whole
