"""The console script passes the user's files to the connector, or prints one clear error."""

import ast
import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets
from airbyte_cdk.utils.yaml_loader import safe_load_yaml

import source_drift
from source_drift import __main__ as command
from source_drift import protocol

ROOT = Path(__file__).parents[1]
MODULES = ("components", "source_declarative_manifest.components")
CONFIG = {"credentials": {"credentials": "access_token", "access_token": "made-up-token-for-tests"}}
CATALOG = {
    "streams": [
        {
            "stream": {"name": "users", "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
            "sync_mode": "full_refresh",
            "destination_sync_mode": "overwrite",
        }
    ]
}
STATE = [
    {
        "type": "STREAM",
        "stream": {"stream_descriptor": {"name": "conversations"}, "stream_state": {"updatedAt": "1700000000000"}},
    }
]


@pytest.fixture(autouse=True)
def process() -> Iterator[None]:
    """Undo the changes of a command to this process, which other tests share."""
    modules = {name: sys.modules.get(name) for name in MODULES}
    hook, literal_eval = sys.excepthook, ast.literal_eval
    yield
    sys.excepthook, ast.literal_eval = hook, literal_eval
    update_secrets([])
    for name, module in modules.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str, Any], str]:
    """Write JSON, or plain text, to a file and return the path."""

    def write(name: str, content: Any) -> str:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments of the CDK's source, recorded instead of the call."""
    arguments: dict[str, Any] = {}

    class Recorder(protocol.YamlDeclarativeSource):
        def __init__(self, **kwargs: Any) -> None:
            arguments.update(kwargs)

    monkeypatch.setattr(protocol, "YamlDeclarativeSource", Recorder)
    return arguments


def messages(capsys: pytest.CaptureFixture[str], kind: str) -> list[Any]:
    """The messages of one type that the command printed."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line[kind.lower()] for line in lines if line["type"] == kind]


def failed(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    """The only error of a command, which must end with exit code 1."""
    with pytest.raises(SystemExit) as end:
        protocol.main([*args])
    assert end.value.code == 1
    (trace,) = messages(capsys, "TRACE")
    return trace["error"]


def test_spec_is_the_one_of_the_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    """`spec` shows the settings of this connector, not the generic ones of the CDK."""
    protocol.main(["spec"])
    (spec,) = messages(capsys, "SPEC")
    manifest = safe_load_yaml((ROOT / "manifest.yaml").read_text(encoding="utf-8"))
    assert spec["connectionSpecification"] == manifest["spec"]["connection_specification"]
    assert "Drift" in spec["connectionSpecification"]["title"]
    assert "credentials" in spec["connectionSpecification"]["properties"]


def test_custom_components_need_no_permission(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, file: Callable[[str, Any], str]
) -> None:
    """The custom components are built without AIRBYTE_ENABLE_UNSAFE_CODE and without an import path."""
    monkeypatch.delenv("AIRBYTE_ENABLE_UNSAFE_CODE", raising=False)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT])
    for name in MODULES:
        sys.modules.pop(name, None)
    protocol.main(["discover", "--config", file("config.json", CONFIG)])
    (catalog,) = messages(capsys, "CATALOG")
    assert {"accounts", "conversations", "users"} <= {stream["name"] for stream in catalog["streams"]}


@pytest.mark.parametrize("name", MODULES)
def test_components_are_known_by_both_names(tmp_path: Path, name: str) -> None:
    """The given file replaces any other module under both names that the CDK imports."""
    path = tmp_path / "components.py"
    path.write_text("from dataclasses import dataclass\n@dataclass\nclass Extractor:\n    field: 'str'\n")
    protocol.load_components(path)
    assert Path(sys.modules[name].__file__) == path
    assert sys.modules[name].Extractor(field="data").field == "data"


def test_the_constructor_gets_config_catalog_and_state(given: dict[str, Any], file: Callable[[str, Any], str]) -> None:
    """The constructor gets all three, because the CDK reads the state nowhere else."""
    config, catalog, state = file("config.json", CONFIG), file("catalog.json", CATALOG), file("state.json", STATE)
    args = ["read", "--config", config, "--catalog", catalog, "--state", state]
    protocol.create_source(AirbyteEntrypoint.parse_args(args))
    assert given["config"] == CONFIG
    assert given["config_path"] == config
    assert [stream.stream.name for stream in given["catalog"].streams] == ["users"]
    assert [message.stream.stream_descriptor.name for message in given["state"]] == ["conversations"]


def test_no_state_is_an_empty_state(given: dict[str, Any], file: Callable[[str, Any], str]) -> None:
    """A read without --state starts from the beginning."""
    args = ["read", "--config", file("config.json", CONFIG), "--catalog", file("catalog.json", CATALOG)]
    protocol.create_source(AirbyteEntrypoint.parse_args(args))
    assert not given["state"]


@pytest.mark.parametrize("kind", ["config", "catalog", "state"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(None, "cannot be read: No such file or directory.", id="missing"),
        pytest.param("{", "is not ", id="not JSON"),
        pytest.param("", "is not ", id="empty"),
        pytest.param('["text"]', "is not ", id="wrong shape"),
    ],
)
def test_an_invalid_file_is_a_config_error(
    capsys: pytest.CaptureFixture[str], file: Callable[[str, Any], str], kind: str, content: str | None, expected: str
) -> None:
    """A missing or malformed file gives one sentence with its name, as a config error."""
    files = {
        "config": file("good-config.json", CONFIG),
        "catalog": file("good-catalog.json", CATALOG),
        "state": file("good-state.json", STATE),
    }
    files[kind] = "no/such/file.json" if content is None else file("bad.json", content)
    error = failed(capsys, "read", *(word for name, path in files.items() for word in (f"--{name}", path)))
    assert error["message"].startswith(f"The {kind} file {files[kind]} {expected}"), error["message"]
    assert error["message"].count(". ") == 0, error["message"]
    assert error["failure_type"] == "config_error"


@pytest.mark.parametrize("option", ["--manifest-path", "--components-path"])
def test_another_manifest_is_refused(
    capsys: pytest.CaptureFixture[str], file: Callable[[str, Any], str], option: str
) -> None:
    """Options with other code are refused, not silently ignored."""
    error = failed(capsys, "check", "--config", file("config.json", CONFIG), option, "other")
    assert option in error["message"], error["message"]


def test_an_error_at_the_start_hides_every_value_of_the_config(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, file: Callable[[str, Any], str]
) -> None:
    """Before the spec is read, any value could be secret, so none is shown."""

    class Broken(protocol.YamlDeclarativeSource):
        def __init__(self, **kwargs: Any) -> None:
            raise ValueError(f"cannot work with {kwargs['config']}")

    monkeypatch.setattr(protocol, "YamlDeclarativeSource", Broken)
    config = file("config.json", {"somewhere": [{"else": "made-up-token-for-tests"}]})
    error = failed(capsys, "check", "--config", config)
    assert "cannot work with" in error["internal_message"], error
    assert "made-up-token-for-tests" not in json.dumps(error), error


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`source-drift` without a command lists its commands."""
    with pytest.raises(SystemExit) as end:
        command.main([])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert "{spec,check,discover,read}" in printed
    assert printed.startswith("Besides the commands of the Airbyte protocol: archive")


def test_the_folder_of_a_wheel_comes_before_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connector files next to the package are used first, then those in the folder above."""
    package = tmp_path / "source_drift"
    package.mkdir()
    monkeypatch.setattr(source_drift, "__file__", str(package / "__init__.py"))
    assert source_drift.connector_folder() == tmp_path
    (package / "manifest.yaml").touch()
    assert source_drift.connector_folder() == package


def test_another_command_ends_with_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets its own arguments, and no protocol command sees them."""
    given: list[list[str]] = []

    def main(arguments: list[str]) -> int:
        given.append(arguments)
        return 130

    monkeypatch.setattr("source_drift.archive.run.main", main)
    with pytest.raises(SystemExit) as end:
        command.main(["archive", "--into", "drift.duckdb"])
    assert (end.value.code, given) == (130, [["--into", "drift.duckdb"]])


@pytest.mark.parametrize(("missing", "told"), [("duckdb", True), ("source_drift.archive.nowhere", False)])
def test_without_the_extra_one_sentence_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, missing: str, told: bool
) -> None:
    """A module of this package that is missing is a fault of ours, and not hidden."""

    def refuse(_: str) -> None:
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(command, "import_module", refuse)
    with pytest.raises(SystemExit if told else ModuleNotFoundError) as end:
        command.main(["archive", "--into", "drift.duckdb"])
    assert str(end.value).endswith('Install them with: pip install "airbyte-source-drift[archive]"') == told


def test_one_thread_at_a_time_evaluates_a_literal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second thread waits while the first one is at it."""
    later: list[Future[Any]] = []

    def literal_eval(text: str) -> str:
        if text == "first":
            later.append(pool.submit(ast.literal_eval, "second"))
            with pytest.raises(TimeoutError):
                later[0].result(timeout=0.1)
        return text

    monkeypatch.setattr(sys, "version_info", (3, 11, 7))
    monkeypatch.setattr(ast, "literal_eval", literal_eval)
    protocol.one_literal_at_a_time()
    with ThreadPoolExecutor(1) as pool:
        assert ast.literal_eval("first") == "first"
        assert later[0].result() == "second"
