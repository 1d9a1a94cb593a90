"""`spec`, `check`, `discover` and `read` for the manifest beside this package.

These have the same flags as `source-declarative-manifest`. That command does not work here: outside its Docker image,
it has only a generic spec, and it needs AIRBYTE_ENABLE_UNSAFE_CODE to run a components.py.
Checked against airbyte-cdk 7.39.1.
"""

import ast
import sys
from argparse import Namespace
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

from airbyte_cdk.entrypoint import AirbyteEntrypoint, launch
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.yaml_declarative_source import YamlDeclarativeSource
from airbyte_cdk.utils import AirbyteTracedException
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets

from source_drift import connector_folder
from source_drift.words import strings

Content = TypeVar("Content")

_SHORTEST_SECRET = 12
_EXPECTED = {
    "config": "a JSON object with the settings",
    "catalog": "a configured catalog: streams, each with its sync_mode",
    "state": "a JSON list of the states from an earlier read",
}


def main(args: list[str]) -> None:
    """Run a command of the Airbyte protocol, which prints its messages as lines of JSON.

    If a file of the command is invalid, the process prints one TRACE message that names the file and exits with code 1.
    """
    one_literal_at_a_time()
    try:
        source = create_source(AirbyteEntrypoint.parse_args(args))
    except AirbyteTracedException as error:
        error.emit_message()
        sys.exit(1)
    launch(source, args)


def create_source(args: Namespace) -> YamlDeclarativeSource:
    """Return the connector with the config, catalog and state that `args` (of `AirbyteEntrypoint.parse_args`) name.

    Raises `AirbyteTracedException` with a message for the user if a file is missing or malformed, or if `args` name a
    different manifest or different components.
    """
    for flag in ("manifest_path", "components_path"):
        if getattr(args, flag, None):
            option = f"--{flag.replace('_', '-')}"
            raise _config_error(f"source-drift uses its own manifest and components. Remove {option}.")

    folder = connector_folder()
    load_components(folder / "components.py")
    config = _read(args, "config", YamlDeclarativeSource.read_config)
    # Before the spec is loaded, it is unknown which values are secret, so an error must not show any of them.
    update_secrets([text for text in strings(config) if len(text) >= _SHORTEST_SECRET])
    catalog = _read(args, "catalog", YamlDeclarativeSource.read_catalog)
    state = _read(args, "state", YamlDeclarativeSource.read_state)
    try:
        # Pass all three here, because `YamlDeclarativeSource.read` ignores the state that it is given.
        return YamlDeclarativeSource(
            path_to_yaml=str(folder / "manifest.yaml"),
            config=config,
            catalog=catalog,
            state=state,
            config_path=getattr(args, "config", None),
        )
    except AirbyteTracedException:
        raise
    except Exception as error:
        raise AirbyteTracedException.from_exception(
            error,
            message="source-drift cannot start. Check the config; if it is correct, report the stack trace.",
        ) from error


def load_components(path: Path) -> None:
    """Register the classes of `path` under both module names that the CDK looks up.

    The CDK trusts a registered module, so no environment variable is needed to allow it. Another `components.py` on the
    import path cannot replace it.
    """
    name = "source_declarative_manifest.components"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python module")
    # Register it before it runs, because dataclasses look up the module that defines them.
    module = sys.modules[name] = sys.modules["components"] = module_from_spec(spec)
    spec.loader.exec_module(module)


def one_literal_at_a_time() -> None:
    """Keep `ast.literal_eval`, which the CDK calls for every value of a request, to one thread at a time.

    Before Python 3.11.8, a garbage collection within it can let another thread in, and one of the two ends with
    `SystemError: AST constructor recursion depth mismatch` (CPython issue 106905), and its stream with it.
    """
    if sys.version_info >= (3, 11, 8):
        return
    lock, literal_eval = RLock(), ast.literal_eval

    def guarded(node_or_string: Any) -> Any:
        with lock:
            return literal_eval(node_or_string)

    ast.literal_eval = guarded


def _read(args: Namespace, kind: str, read: Callable[[str], Content]) -> Content | None:
    """Return the result of `read` for the file given as --`kind`, or None if the flag is missing."""
    path: str | None = getattr(args, kind, None)
    if path is None:
        return None
    try:
        return read(path)
    except OSError as error:
        raise _config_error(f"The {kind} file {path} cannot be read: {error.strerror}.") from error
    except Exception as error:
        raise _config_error(f"The {kind} file {path} is not {_EXPECTED[kind]}.", reason=str(error)) from error


def _config_error(message: str, reason: str | None = None) -> AirbyteTracedException:
    return AirbyteTracedException(
        message=message, internal_message=reason or message, failure_type=FailureType.config_error
    )
