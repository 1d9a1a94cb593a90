"""The wheel and the checkout give the same working `source-drift`."""

import json
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from uv import find_uv_bin

from sandbox import Drift, Sandbox

ROOT = Path(__file__).parents[1]
CONFIG = {"credentials": {"credentials": "access_token", "access_token": "made-up-token-for-tests"}}


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    """The standard output of a command that must succeed without other environment variables."""
    done = subprocess.run(
        [*map(str, command)], cwd=folder, env={"PATH": "/usr/bin:/bin", **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def message(output: str, kind: str) -> dict[str, Any]:
    """The only message of a type in the output of a command."""
    (found,) = (line for line in map(json.loads, output.splitlines()) if line["type"] == kind)
    return found[kind.lower()]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, folder=ROOT)
    return folder


@pytest.fixture(scope="session")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a new environment with the wheel only, which uses the dependencies of this environment.

    Path files are not followed twice, so this environment's editable install of the checkout is not visible.
    """
    environment = tmp_path_factory.mktemp("environment") / "venv"
    (wheel,) = built.glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", environment, folder=ROOT)
    python = environment / "bin" / "python"
    run(find_uv_bin(), "pip", "install", "--no-deps", "--offline", "--python", python, wheel, folder=ROOT)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=ROOT).strip())
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return environment / "bin"


def test_the_wheel_contains_the_connector(built: Path) -> None:
    """The package has the manifest and the components, but no tests or sandbox."""
    (wheel,) = built.glob("*.whl")
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        files = {name: archive.read(name) for name in names}
        metadata = archive.read(next(name for name in archive.namelist() if name.endswith("/METADATA"))).decode()
    package = [path for path in (ROOT / "source_drift").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    added = (
        "manifest.yaml",
        "components.py",
        "archive/queries/coverage.sql",
        "archive/queries/first_human_response.sql",
    )
    assert names == {str(path.relative_to(ROOT)) for path in package} | {f"source_drift/{name}" for name in added}
    assert files["source_drift/manifest.yaml"] == (ROOT / "manifest.yaml").read_bytes()
    assert files["source_drift/components.py"] == (ROOT / "components.py").read_bytes()
    requirements = [line for line in metadata.splitlines() if line.startswith("Requires-Dist:")]
    assert [line for line in requirements if "extra ==" not in line] == ["Requires-Dist: airbyte-cdk<8,>=7.39.1"]
    assert any("duckdb" in line and "extra == 'archive'" in line for line in requirements), requirements


def test_the_source_distribution_is_small(built: Path) -> None:
    """The source distribution has the connector and its documentation, in the layout of the checkout."""
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"manifest.yaml", "components.py", "source_drift/protocol.py", "LICENSE", "README.md"} <= names
    assert not [name for name in names if name.split("/")[0] in ("sandbox", "unit_tests", "integration_tests")], names


def test_the_wheel_and_the_checkout_give_our_spec(installed: Path, tmp_path: Path) -> None:
    """`source-drift spec` in another folder and `python -m source_drift spec` in the checkout show our settings."""
    wheel = message(run(installed / "source-drift", "spec", folder=tmp_path), "SPEC")
    assert "Drift" in wheel["connectionSpecification"]["title"]
    assert "credentials" in wheel["connectionSpecification"]["properties"]
    assert message(run(sys.executable, "-m", "source_drift", "spec", folder=ROOT), "SPEC") == wheel


def test_the_wheel_runs_its_own_files(installed: Path, tmp_path: Path) -> None:
    """The command uses the manifest and components in the new environment, not those of the checkout."""
    code = "from source_drift import connector_folder; print(connector_folder())"
    folder = Path(run(installed / "python", "-c", code, folder=tmp_path).strip())
    assert folder.is_relative_to(installed.parent.resolve()), folder


def test_the_wheel_builds_every_stream(installed: Path, tmp_path: Path) -> None:
    """`discover` finds the custom components without an environment variable or another module."""
    (tmp_path / "components.py").write_text("raise RuntimeError('somebody else')")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    command = (installed / "source-drift", "discover", "--config", "config.json")
    streams = message(run(*command, folder=tmp_path), "CATALOG")["streams"]
    assert {"accounts", "conversations", "users"} <= {stream["name"] for stream in streams}


def test_the_wheel_archives(installed: Path, tmp_path: Path) -> None:
    """`source-drift archive` of the wheel has its queries and the template of its page."""
    credentials = {"credentials": "access_token", "access_token": "sandbox-token"}
    with Sandbox(Drift(conversations=3, history_days=30)) as sandbox:
        (tmp_path / "config.json").write_text(json.dumps({"credentials": credentials, "api_url": sandbox.url}))
        streams = "conversations,conversation_details,messages,contacts,users,conversation_stats"
        command = ("archive", "--config", "config.json", "--into", "drift.duckdb", "--streams", streams)
        printed = run(installed / "source-drift", *command, folder=tmp_path)
    assert printed.splitlines()[-1] == "✓ Complete: 7 of 7 streams.", printed
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "3 conversations began in" in page


def test_the_wheel_uses_the_state(installed: Path, tmp_path: Path) -> None:
    """A second read with the last state of the first one does not read every conversation again."""
    catalog = {
        "streams": [
            {
                "stream": {"name": "conversations", "json_schema": {}, "supported_sync_modes": ["incremental"]},
                "sync_mode": "incremental",
                "destination_sync_mode": "append_dedup",
            }
        ]
    }
    (tmp_path / "catalog.json").write_text(json.dumps(catalog))
    command = (installed / "source-drift", "read", "--config", "config.json", "--catalog", "catalog.json")
    with Sandbox(Drift(conversations=300)) as sandbox:
        credentials = {"credentials": "access_token", "access_token": "sandbox-token"}
        (tmp_path / "config.json").write_text(json.dumps({"credentials": credentials, "api_url": sandbox.url}))
        first = [json.loads(line) for line in run(*command, folder=tmp_path).splitlines()]
        states = [line["state"] for line in first if line["type"] == "STATE"]
        (tmp_path / "state.json").write_text(json.dumps(states[-1:]))
        second = [json.loads(line) for line in run(*command, "--state", "state.json", folder=tmp_path).splitlines()]
    assert sum(line["type"] == "RECORD" for line in first) == 300
    assert sum(line["type"] == "RECORD" for line in second) < 50
