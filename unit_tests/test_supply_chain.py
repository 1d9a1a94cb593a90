"""Installs match the lock, known vulnerabilities fail `make audit`, and the SBOM is correct."""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tools.supply_chain import sbom
from unit_tests.test_repository import findings

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
UV = Path(sys.executable).with_name("uv")


def locked() -> dict[str, str]:
    """The pins of requirements.lock, with their hashes."""
    entries = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]
    return {entry.split(" ")[0]: entry for entry in entries}


def test_every_pin_has_hashes() -> None:
    """requirements.lock has a version and at least one sha256 for each package."""
    without = [pin for pin, entry in locked().items() if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry)]
    assert len(locked()) > 100
    assert without == []


def test_every_install_requires_hashes() -> None:
    """Every install in the Makefile uses --require-hashes, except that of this checkout."""
    lines = (ROOT / "Makefile").read_text().replace("\\\n", " ").splitlines()
    installs = [line.strip() for line in lines if re.search(r"\bpip (?:install|sync)\b", line)]
    unsafe = [line for line in installs if "--require-hashes" not in line and "--no-deps" not in line]
    assert len(installs) >= 5
    assert unsafe == []
    assert [line for line in installs if "--require-hashes" not in line and not line.endswith("--editable .")] == []


@pytest.mark.parametrize("changed", [False, True], ids=["as locked", "changed"])
def test_a_changed_hash_is_refused(tmp_path: Path, changed: bool) -> None:
    """With the options of the Makefile, uv installs a wheel with the locked hash and refuses another one."""
    wheel = tmp_path / "made_up-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("made_up.py", "")
        file.writestr("made_up-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n")
        file.writestr("made_up-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("made_up-1.0.dist-info/RECORD", "made_up.py,,\n")
    digest = hashlib.sha256(wheel.read_bytes() + b"x" * changed).hexdigest()
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"made-up==1.0 --hash=sha256:{digest}\n")
    command = [UV, "pip", "install", "--require-hashes", "--only-binary", ":all:", "--no-index", "--no-cache"]
    command += [
        "--python",
        sys.executable,
        "--find-links",
        tmp_path,
        "--target",
        tmp_path / "to",
        "--requirement",
        lock,
    ]
    run = subprocess.run(command, capture_output=True, text=True)
    assert (run.returncode != 0) is changed, run.stderr
    assert ("Hash mismatch" in run.stderr) is changed, run.stderr
    assert (tmp_path / "to" / "made_up.py").exists() is not changed


def test_the_cdk_range_contains_the_locked_version(manifest: dict[str, Any]) -> None:
    """pyproject.toml allows airbyte-cdk from the manifest's version on, and the locked version is in the range."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [cdk] = [found for text in project["dependencies"] if (found := Requirement(text)).name == "airbyte-cdk"]
    oldest = [limit.version for limit in cdk.specifier if limit.operator == ">="]
    [pin] = [name for name in locked() if name.startswith("airbyte-cdk==")]
    assert oldest == [manifest["version"]]
    assert Version(pin.partition("==")[2]) in cdk.specifier
    assert Version("8.0.0") not in cdk.specifier


# --- audit ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "log", "code", "ends", "said"),
    [
        pytest.param("", "No known vulnerabilities found", 0, 0, "Packages not audited: 0. ", id="none"),
        pytest.param("x could not be audited", "None found", 0, 0, "Packages not audited: 1. ", id="unknown"),
        pytest.param("hurt 3.0 PYSEC-0000-1 3.1", "Found 1 in 1 package", 1, 2, "hurt 3.0 PYSEC-0000-1 3.1", id="one"),
        pytest.param("", "ERROR: Could not connect", 1, 0, "NOT AUDITED: ", id="unreachable"),
        pytest.param("", "error: unrecognized arguments", 2, 2, "", id="wrongly called"),
    ],
)
def test_make_audit(table: str, log: str, code: int, ends: int, said: str, tmp_path: Path) -> None:
    """A vulnerability is shown and fails; an unavailable advisory service is reported and does not fail."""
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nprintf '%s' '{table}'\necho '{log}' >&2\nexit {code}\n")
    script.chmod(0o700)
    command = ["make", "--old-file=.venv/ready", f"--makefile={ROOT / 'Makefile'}", f"PY={script}", "audit"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == ends, run.stdout + run.stderr
    assert said in run.stdout
    assert log in run.stdout


# --- SBOM -------------------------------------------------------------------------------------------------------------


def bom() -> dict[str, Any]:
    """A small example of cyclonedx-py's output."""
    registry = "https://py" + "pi.org/project/made-up/"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "name": "made-up-source", "version": "1.0.0", "bom-ref": "root"},
            "tools": {
                "components": [
                    {
                        "type": "application",
                        "name": "cyclonedx-py",
                        "externalReferences": [{"type": "distribution", "url": registry}],
                    }
                ]
            },
        },
        "components": [
            {
                "type": "library",
                "name": "made-up",
                "version": "1.0",
                "bom-ref": "made-up==1.0",
                "author": "somebody",
                "purl": "pkg:pypi/made-up@1.0",
                "externalReferences": [{"type": "distribution", "url": registry}],
            }
        ],
        "dependencies": [{"ref": "root", "dependsOn": ["made-up==1.0"]}, {"ref": "made-up==1.0"}],
    }


def test_the_sbom_names_no_registry_and_no_author() -> None:
    """The SBOM has no links and authors, but everything that identifies a package."""
    text = sbom.text_of(sbom.tidied(bom()))
    assert list(findings("sbom.json", text)) == []
    assert json.loads(text)["components"] == [
        {
            "type": "library",
            "name": "made-up",
            "version": "1.0",
            "bom-ref": "made-up==1.0",
            "purl": "pkg:pypi/made-up@1.0",
        }
    ]


def test_the_sbom_is_the_same_for_the_same_input() -> None:
    """The order of the input does not matter, and the output contains no timestamp."""
    text = sbom.text_of(sbom.tidied(bom()))
    turned = dict(reversed(bom().items()))
    assert sbom.text_of(sbom.tidied(turned)) == text
    assert "timestamp" not in text
    assert "serialNumber" not in text


def test_an_invalid_sbom_is_refused() -> None:
    """CycloneDX's own schema validates the SBOM, and unknown fields are refused."""
    with pytest.raises(ValueError, match=r"not a CycloneDX 1\.6 SBOM"):
        sbom.text_of({**bom(), "made-up": 1})


def test_main_writes_the_sbom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """main reads the output of cyclonedx-py and writes the file, including its folder."""
    (tmp_path / "in.json").write_text(json.dumps(bom()))
    with (tmp_path / "in.json").open() as given:
        monkeypatch.setattr(sys, "stdin", given)
        sbom.main(str(tmp_path / "build" / "sbom.json"))
    assert (tmp_path / "build" / "sbom.json").read_text() == sbom.text_of(sbom.tidied(bom()))
