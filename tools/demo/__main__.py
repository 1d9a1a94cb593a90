"""`python -m tools.demo`: runs the demo, or says what is missing if it cannot run."""

import sys

# Before the imports, because an older Python could not even compile them.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("The demo needs Python 3.11 or newer; `make demo` finds one and installs the rest.")

try:
    from tools.demo.run import main
except ImportError as error:
    sys.exit(f"The demo cannot start: {error}. `make demo` installs what it needs.")

if __name__ == "__main__":
    sys.exit(main())
