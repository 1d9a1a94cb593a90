"""The files of the Docker image, in the layout of its build, are a complete connector.

The tests don't use Docker. They repeat the steps of airbyte-cdk 7.39.1 and of Airbyte's templates, which
docs/recipes/docker.md describes.
"""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from airbyte_cdk.cli.source_declarative_manifest import _run

from integration_tests.connector import EVERY_STREAM, access_token, catalog
from sandbox import Drift, Sandbox

ROOT = Path(__file__).parents[1]
# The files that the .dockerignore of `airbyte-cdk image build` allows for a manifest-only connector.
KEPT = (
    "manifest.yaml",
    "components.py",
    "metadata.yaml",
    "README.md",
    "requirements.txt",
    "pyproject.toml",
    "poetry.lock",
    "poetry.toml",
    "setup.py",
    "build_customization.py",
    "source_*",
    "destination_*",
)
# The image looks for its manifest below the root of its file system. Here, only that root is different.
ENTRY_POINT = """
import pathlib, runpy, sys

root, main, packages = sys.argv.pop(1), sys.argv[1], sys.argv.pop(2)
sys.path[:0] = [str(pathlib.Path(main).parent)]
sys.path.append(packages)
from source_declarative_manifest import run
run.Path = lambda path: pathlib.Path(root, *pathlib.Path(path).parts[1:])
sys.argv.pop(0)
runpy.run_path(main, run_name="__main__")
"""


def base_image(root: Path) -> Path:
    """Create the layout of airbyte/source-declarative-manifest; return the image's working directory."""
    folder = root / "airbyte" / "integration_code"
    package = folder / "source_declarative_manifest"
    package.mkdir(parents=True)
    (folder / "main.py").write_text("from source_declarative_manifest.run import run\n\nrun()\n")
    (package / "__init__.py").touch()
    cdk = Path(_run.__file__)
    shutil.copy(cdk, package / "run.py")
    shutil.copy(cdk.with_name("spec.json"), package)
    return folder


def kept() -> Iterator[Path]:
    """The files of the checkout that `airbyte-cdk image build` uses."""
    return (path for path in ROOT.iterdir() if any(fnmatch(path.name, pattern) for pattern in KEPT))


def built_by_the_cdk(root: Path) -> Path:
    folder = base_image(root)
    for path in kept():
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, folder / path.name)
    for name in ("manifest.yaml", "components.py"):
        shutil.copy(folder / name, folder / "source_declarative_manifest")
    return folder


def built_by_the_readme(root: Path) -> Path:
    """Copy the files like the Dockerfile in README.md."""
    folder = base_image(root)
    (copied,) = re.findall(r"^COPY (.+) (/\S+)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    for name in copied[0].split():
        shutil.copy(ROOT / name, root / copied[1].strip("/"))
    return folder


BUILDS = {"airbyte-cdk image build": built_by_the_cdk, "docker build": built_by_the_readme}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: build(tmp_path_factory.mktemp("root")) for name, build in BUILDS.items()}


def run(folder: Path, verb: str, **files: Any) -> tuple[int, list[dict[str, Any]]]:
    """Run a command in the image, without access to the checkout or the variables of this process."""
    root = folder.parents[1]
    options = []
    for name, content in files.items():
        (root / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        options += [f"--{name}", f"{root}/{name}.json"]
    packages = sysconfig.get_path("purelib")
    command = [sys.executable, "-I", "-S", "-c", ENTRY_POINT, str(root), str(folder / "main.py"), packages, verb]
    done = subprocess.run([*command, *options], cwd=folder, env={}, capture_output=True, text=True, timeout=240)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def of(kind: str, messages: list[dict[str, Any]]) -> list[Any]:
    """The messages of a type, without their envelope."""
    return [next(value for name, value in one.items() if name != "type") for one in messages if one["type"] == kind]


def test_spec_is_ours(images: dict[str, Path]) -> None:
    """`spec`, which verifies a build, prints the settings of this connector, not those of the base image."""
    code, messages = run(images["airbyte-cdk image build"], "spec")
    assert code == 0, messages
    (spec,) = of("SPEC", messages)
    assert spec["connectionSpecification"]["title"] == "Drift"


def test_both_builds_give_the_same_package(images: dict[str, Path]) -> None:
    """The CDK's build and the Dockerfile give the same package, byte for byte."""
    found = [
        {path.name: path.read_bytes() for path in (image / "source_declarative_manifest").iterdir() if path.is_file()}
        for image in images.values()
    ]
    assert found[0] == found[1]
    assert {"manifest.yaml", "components.py", "run.py"} <= set(found[0])


def test_every_verb_works(images: dict[str, Path]) -> None:
    """Check, discover and read of every stream work as elsewhere, without a permission for custom code."""
    # A short history, because waits have their full length here, and 50 reports per minute are allowed.
    image, drift = images["docker build"], Drift(accounts=70, conversations=12, users=5, history_days=30)
    start = datetime.now(UTC) - timedelta(days=40)
    with Sandbox(drift) as sandbox:
        config = access_token(sandbox.url, max_requests_per_second=50, start_date=f"{start:%Y-%m-%d}")
        _, checked = run(image, "check", config=config)
        _, discovered = run(image, "discover", config=config)
        code, read = run(image, "read", config=config, catalog=catalog(*EVERY_STREAM))
    (status,) = of("CONNECTION_STATUS", checked)
    assert status["status"] == "SUCCEEDED", checked
    (found,) = of("CATALOG", discovered)
    assert {stream["name"] for stream in found["streams"]} == set(EVERY_STREAM)
    assert code == 0, read
    rows = Counter(record["stream"] for record in of("RECORD", read))
    told = {name: drift.count(name) for name in EVERY_STREAM if name != "token_info"}
    assert rows == Counter(told | {"token_info": 1})


def test_without_components_nothing_works(tmp_path: Path) -> None:
    """The layout is really tested: without components.py, no other file of this machine replaces it."""
    folder = built_by_the_readme(tmp_path)
    (folder / "source_declarative_manifest" / "components.py").unlink()
    code, messages = run(folder, "discover", config=access_token("http://127.0.0.1:1"))
    assert code == 1
    assert "source_declarative_manifest.components" in json.dumps(messages), messages


def test_the_build_gets_nothing_else() -> None:
    """The CDK's build gets the connector, two documents and the console script, but no config and no tests."""
    names = {path.name for path in kept()}
    assert names == {"manifest.yaml", "components.py", "metadata.yaml", "README.md", "pyproject.toml", "source_drift"}


def test_the_cdk_builds_what_the_metadata_says(tmp_path: Path) -> None:
    """`airbyte-cdk image build` passes this folder, the base image of metadata.yaml and the right tags to Docker.

    A script that records its arguments replaces Docker, and an empty Dockerfile replaces the downloaded template.
    """
    (tmp_path / "docker").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    (tmp_path / "docker").chmod(0o700)
    (tmp_path / "Dockerfile").touch()
    cdk = Path(sysconfig.get_path("scripts"), "airbyte-cdk")
    command = [cdk, "image", "build", ROOT, "--tag", "1.0.0", "--no-verify", "--dockerfile", tmp_path / "Dockerfile"]
    subprocess.run(command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True, capture_output=True)
    _, build, *_, tag = (tmp_path / "asked").read_text(encoding="utf-8").splitlines()
    metadata = yaml.safe_load((ROOT / "metadata.yaml").read_text(encoding="utf-8"))["data"]
    assert f"--build-arg BASE_IMAGE={metadata['connectorBuildOptions']['baseImage']} " in build
    assert f"--label io.airbyte.version={metadata['dockerImageTag']} " in build
    assert build.endswith(f"-t {metadata['dockerRepository']}:1.0.0-amd64 {ROOT}")
    assert tag.endswith(f" {metadata['dockerRepository']}:1.0.0")
