"""A connector that plays a script: `python fake_connector.py SCRIPT VERB --config PATH …`.

SCRIPT is a JSON object that names, for each verb, what to do in turn; `read again` is the read that is given a state.
A string is written as a line; `"@config"` writes the config it was given as a record of the stream `config`.
`{"stderr": line}` is a line of standard error, `{"write": text}` has no end of line, `{"exit": code}` ends the process,
and `{"wait": [first, last]}` writes the first line, waits for a SIGINT of its own, writes the last line and ends.
"""

import json
import signal
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    script = json.loads(Path(sys.argv[1]).read_text())
    verb = sys.argv[2]
    flags = dict(zip(sys.argv[3::2], sys.argv[4::2], strict=True))
    if verb == "read" and json.loads(Path(flags["--state"]).read_text()):
        verb = "read again"
    for action in script[verb]:
        play(action, flags)


def play(action: Any, flags: dict[str, str]) -> None:
    if action == "@config":
        data = json.loads(Path(flags["--config"]).read_text())
        print(json.dumps({"type": "RECORD", "record": {"stream": "config", "data": data}}), flush=True)
    elif isinstance(action, str):
        print(action, flush=True)
    elif "stderr" in action:
        print(action["stderr"], file=sys.stderr, flush=True)
    elif "write" in action:
        sys.stdout.write(action["write"])
    elif "exit" in action:
        sys.exit(action["exit"])
    else:
        first, last = action["wait"]
        try:
            print(first, flush=True)
            signal.pause()
        except KeyboardInterrupt:
            print(last, flush=True)
            sys.exit(1)


main()
