"""The console script `source-drift`, also `python -m source_drift`: finds the module of each command.

Only the commands of the Airbyte protocol need airbyte-cdk, whose import takes about two seconds.
"""

import sys
from importlib import import_module

COMMANDS = {
    "archive": "source_drift.archive.run",
    "person": "source_drift.person",
    "probe": "source_drift.probe",
}
"""The commands beside the Airbyte protocol, each with the module whose `main(arguments) -> int` runs it."""
EXTRA = 'pip install "airbyte-source-drift[archive]"'


def main(args: list[str] | None = None) -> None:
    """Run one of `COMMANDS`, or a command of the Airbyte protocol (`source_drift.protocol`).

    `args` are the arguments after the command's name, by default those of this process. Without arguments, the help is
    shown. A command of `COMMANDS` ends the process with its exit code.
    """
    args = (sys.argv[1:] if args is None else args) or ["--help"]
    if args[0] in COMMANDS:
        sys.exit(_run(args[0], args[1:]))
    if args[0] in ("-h", "--help"):
        print(f"Besides the commands of the Airbyte protocol: {', '.join(COMMANDS)}; each has a --help of its own.\n")
    import_module("source_drift.protocol").main(args)


def _run(command: str, args: list[str]) -> int:
    try:
        module = import_module(COMMANDS[command])
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("source_drift"):
            raise
        sys.exit(f"source-drift {command} needs more packages. Install them with: {EXTRA}")
    return int(module.main(args))


if __name__ == "__main__":
    main()
