"""The console script `source-drift`: `spec`, `check`, `discover` and `read` for the manifest beside this package.

The flags are those of `source-declarative-manifest`. That command is not used itself, since outside of its Docker image
it knows only a generic spec, and asks for AIRBYTE_ENABLE_UNSAFE_CODE before it runs a components.py.
Checked against airbyte-cdk 7.39.1.
"""

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, TypeVar

from airbyte_cdk.entrypoint import AirbyteEntrypoint, launch
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.yaml_declarative_source import YamlDeclarativeSource
from airbyte_cdk.utils import AirbyteTracedException
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets

Content = TypeVar("Content")

_SHORTEST_SECRET = 12
_EXPECTED = {
    "config": "a JSON object with the settings",
    "catalog": "a configured catalog: streams, each with its sync_mode",
    "state": "a JSON list of the states that a read put out",
}


def main(args: list[str] | None = None) -> None:
    """Run one command of the Airbyte protocol; its messages go to standard output, one JSON object a line.

    `args` are the words after the command's name, by default those of this process; without any the help is shown.
    A file that cannot be used ends the process with exit code 1 after one TRACE message that names the file.
    """
    args = (sys.argv[1:] if args is None else args) or ["--help"]
    try:
        source = create_source(AirbyteEntrypoint.parse_args(args))
    except AirbyteTracedException as error:
        error.emit_message()
        sys.exit(1)
    launch(source, args)


def create_source(args: Namespace) -> YamlDeclarativeSource:
    """Return the connector with the config, catalog and state that `args` (of `AirbyteEntrypoint.parse_args`) name.

    Raises `AirbyteTracedException`, its message fit for the user, where a file is missing or malformed, or where `args`
    ask for another manifest or other components than this connector's own.
    """
    for flag in ("manifest_path", "components_path"):
        if getattr(args, flag, None):
            option = f"--{flag.replace('_', '-')}"
            raise _config_error(f"source-drift reads its own manifest and components: leave out {option}.")

    folder = connector_folder()
    load_components(folder / "components.py")
    config = _read(args, "config", YamlDeclarativeSource.read_config)
    # Until the spec is known, so is not which values are secret: an error before that shows none of them.
    update_secrets([text for text in _strings(config) if len(text) >= _SHORTEST_SECRET])
    catalog = _read(args, "catalog", YamlDeclarativeSource.read_catalog)
    state = _read(args, "state", YamlDeclarativeSource.read_state)
    try:
        # All three belong here: `YamlDeclarativeSource.read` ignores the state that it is given.
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
            message="source-drift cannot start: please check the config, and report the stack trace if it is right.",
        ) from error


def connector_folder() -> Path:
    """Return the folder of manifest.yaml and components.py: this package in a wheel, the one above it in a checkout."""
    package = Path(__file__).resolve().parent
    return package if (package / "manifest.yaml").is_file() else package.parent


def load_components(path: Path) -> None:
    """Make the classes of `path` known under both module names by which the CDK looks for them.

    The CDK takes a registered module as code that belongs to the connector, so no environment variable has to permit
    it. A module of another `components.py` on the import path can not take its place.
    """
    name = "source_declarative_manifest.components"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python module")
    # Before it runs, since dataclasses look up the module that they are defined in.
    module = sys.modules[name] = sys.modules["components"] = module_from_spec(spec)
    spec.loader.exec_module(module)


def _read(args: Namespace, kind: str, read: Callable[[str], Content]) -> Content | None:
    """Return what `read` makes of the file given as --`kind`, None where the flag was not given."""
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


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
