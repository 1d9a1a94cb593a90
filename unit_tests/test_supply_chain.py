"""What is installed is what was locked, its known vulnerabilities are told, and its bill of materials holds."""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tools.supply_chain import audit, sbom
from unit_tests.test_repository import findings

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
TODAY = date(2026, 1, 15)
UV = Path(sys.executable).with_name("uv")


def locked() -> dict[str, str]:
    """The pins of requirements.lock, each with all that belongs to it."""
    entries = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]
    return {entry.split(" ")[0]: entry for entry in entries}


def test_every_pin_has_hashes() -> None:
    """requirements.lock names each package by version and by at least one sha256."""
    without = [pin for pin, entry in locked().items() if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry)]
    assert len(locked()) > 100
    assert without == []


def test_every_install_asks_for_hashes() -> None:
    """No step of the Makefile installs anything but this checkout without --require-hashes."""
    lines = (ROOT / "Makefile").read_text().replace("\\\n", " ").splitlines()
    installs = [line.strip() for line in lines if re.search(r"\bpip (?:install|sync)\b", line)]
    unsafe = [line for line in installs if "--require-hashes" not in line and "--no-deps" not in line]
    assert len(installs) >= 5
    assert unsafe == []
    assert [line for line in installs if "--require-hashes" not in line and not line.endswith("--editable .")] == []


@pytest.mark.parametrize("changed", [False, True], ids=["as locked", "changed"])
def test_a_changed_hash_is_refused(tmp_path: Path, changed: bool) -> None:
    """uv, called as the Makefile calls it, installs a wheel with the hash of the lock and refuses one with another."""
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


def test_the_cdk_range_holds_what_is_locked(manifest: dict[str, Any]) -> None:
    """pyproject.toml allows airbyte-cdk from the manifest's version on, and the locked version lies in the range."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [cdk] = [found for text in project["dependencies"] if (found := Requirement(text)).name == "airbyte-cdk"]
    oldest = [limit.version for limit in cdk.specifier if limit.operator == ">="]
    [pin] = [name for name in locked() if name.startswith("airbyte-cdk==")]
    assert oldest == [manifest["version"]]
    assert Version(pin.partition("==")[2]) in cdk.specifier
    assert Version("8.0.0") not in cdk.specifier


# --- audit ------------------------------------------------------------------------------------------------------------

CLEAN = {"name": "clean", "version": "1.0", "vulns": []}
UNKNOWN = {"name": "Un_known", "skip_reason": "Dependency not found on PyPI and could not be audited: un-known (2.0)"}
HURT = {
    "name": "hurt",
    "version": "3.0",
    "vulns": [
        {"id": "PYSEC-0000-1", "fix_versions": ["3.1"], "aliases": ["CVE-0000-00001"], "description": "made up"},
    ],
}


def excused(**other: Any) -> audit.Allowed:
    given = {"id": "CVE-0000-00001", "package": "hurt", "reason": "made up", "until": TODAY, **other}
    return audit.Allowed(**given)


def judged(*packages: dict[str, Any], allowed: tuple[audit.Allowed, ...] = ()) -> audit.Verdict:
    return audit.verdict({"dependencies": list(packages), "fixes": []}, allowed, TODAY)


def test_no_vulnerability_passes() -> None:
    """Packages that were looked up and have none are counted."""
    assert judged(CLEAN) == audit.Verdict(["Audited: 1 of 1 packages, 0 exceptions in use"], [])


def test_a_vulnerability_fails() -> None:
    """A known vulnerability is told with package, version, id and the version that mends it."""
    assert judged(CLEAN, HURT).troubles == ["hurt 3.0 has PYSEC-0000-1, which 3.1 mends"]


def test_a_vulnerability_that_nothing_mends_fails() -> None:
    """It is told in words where there is no version to take."""
    unmended = {**HURT, "vulns": [{"id": "PYSEC-0000-1", "fix_versions": [], "aliases": [], "description": ""}]}
    assert judged(unmended).troubles == ["hurt 3.0 has PYSEC-0000-1, which no version mends"]


@pytest.mark.parametrize("id", ["CVE-0000-00001", "PYSEC-0000-1"])
def test_an_exception_lets_its_vulnerability_pass(id: str) -> None:
    """By the id or by an alias, up to and with its last day."""
    assert judged(HURT, allowed=(excused(id=id),)) == audit.Verdict(
        ["Audited: 1 of 1 packages, 1 exceptions in use"], []
    )


@pytest.mark.parametrize(
    ("other", "troubles"),
    [
        pytest.param({"until": date(2026, 1, 14)}, ["exception for CVE-0000-00001 of hurt expired"], id="expired"),
        pytest.param({"package": "clean"}, ["hurt 3.0 has", "of clean is unused"], id="other package"),
        pytest.param({"id": "CVE-0000-00002"}, ["hurt 3.0 has", "00002 of hurt is unused"], id="other id"),
        pytest.param({"package": "gone"}, ["hurt 3.0 has", "of gone is unused"], id="package that is not locked"),
    ],
)
def test_an_exception_that_does_not_apply_fails(other: dict[str, Any], troubles: list[str]) -> None:
    """An expired exception and an unused one are told, beside the vulnerability that they do not cover."""
    found = judged(CLEAN, HURT, allowed=(excused(**other),)).troubles
    assert len(found) == len(troubles), found
    assert all(part in text for part, text in zip(troubles, found, strict=True)), found


def test_packages_that_the_service_does_not_know_are_not_audited() -> None:
    """They are counted and named, and an exception for one is not called unused."""
    assert judged(CLEAN, UNKNOWN, allowed=(excused(package="un-known"),)) == audit.Verdict(
        [
            "NOT AUDITED: 1 of 2 packages (un-known), the vulnerability service does not know them",
            "Audited: 1 of 2 packages, 0 exceptions in use",
        ],
        [],
    )


def test_a_service_that_knows_nothing_is_no_success() -> None:
    """Where no package was looked up, nothing says that any was audited."""
    assert judged(UNKNOWN).notes == ["NOT AUDITED: 1 of 1 packages, the vulnerability service does not know them"]


def answering(monkeypatch: pytest.MonkeyPatch, stdout: str = "", stderr: str = "", code: int = 1) -> None:
    """Let pip-audit end in this way."""
    ended = subprocess.CompletedProcess([], code, stdout, stderr)
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: ended)


@pytest.mark.parametrize(
    "stderr",
    [
        "ERROR:pip_audit._cli:Could not connect to the vulnerability feed\nERROR:pip_audit._cli:Tip: your network …",
        "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='vulnerabilities.example.com', port=443)",
        "requests.exceptions.ReadTimeout: HTTPSConnectionPool(host='vulnerabilities.example.com', port=443)",
        "pip_audit._service.interface.ServiceError",
    ],
)
def test_a_service_that_is_not_reached_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stderr: str
) -> None:
    """One plain line, exit code 0, and no word of an audit that was not made."""
    answering(monkeypatch, stderr=stderr)
    code = audit.main()
    count = len(locked())
    said = f"NOT AUDITED: {count} of {count} packages, the vulnerability service could not be reached\n"
    assert (code, capsys.readouterr().out) == (0, said)


def test_pip_audit_that_breaks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other end of pip-audit is not taken for a service that cannot be reached."""
    answering(monkeypatch, stderr="ERROR:pip_audit._cli:requirement made-up==1.0 does not contain a hash")
    with pytest.raises(RuntimeError, match="does not contain a hash"):
        audit.ask(Path("requirements.lock"))


def test_main_fails_on_a_vulnerability(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """pip-audit's JSON is read although it exits with 1, and the verdict becomes the exit code."""
    answering(monkeypatch, stdout=json.dumps({"dependencies": [HURT], "fixes": []}))
    code = audit.main()
    assert code == 1
    assert "FAILED: hurt 3.0 has PYSEC-0000-1, which 3.1 mends\n" in capsys.readouterr().out


ENTRY = '[[exception]]\nid = "CVE-0000-00001"\npackage = "Hu_rt"\nreason = "made up"\nuntil = 2026-01-15\n'


def test_exceptions_are_read() -> None:
    """Each field is kept; the package is written as the lock writes it."""
    assert audit.exceptions(ENTRY) == [excused(package="hu-rt")]


@pytest.mark.parametrize(
    "text",
    [
        ENTRY.replace('reason = "made up"\n', ""),
        ENTRY.replace('"made up"', '""'),
        ENTRY.replace("until = 2026-01-15", 'until = "2026-01-15"'),
        ENTRY.replace("until = 2026-01-15", "until = 2026-01-15T00:00:00"),
        ENTRY + 'note = "more"\n',
    ],
    ids=["no reason", "empty reason", "date as text", "date with time", "unknown field"],
)
def test_an_exception_without_all_its_fields_is_refused(text: str) -> None:
    """An exception says why, and until when."""
    with pytest.raises(ValueError, match=r"an exception needs|until is a date"):
        audit.exceptions(text)


def test_the_exceptions_of_the_repository_are_complete() -> None:
    """exceptions.toml can be read."""
    assert audit.exceptions(audit.EXCEPTIONS.read_text()) is not None


# --- SBOM -------------------------------------------------------------------------------------------------------------


def bom() -> dict[str, Any]:
    """What cyclonedx-py writes, in small."""
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
    """Links and authors are left out, everything that identifies a package stays."""
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
    """The order of the fields plays no part, and nothing of the moment is written."""
    text = sbom.text_of(sbom.tidied(bom()))
    turned = dict(reversed(bom().items()))
    assert sbom.text_of(sbom.tidied(turned)) == text
    assert "timestamp" not in text
    assert "serialNumber" not in text


def test_an_sbom_against_the_schema_is_refused() -> None:
    """CycloneDX's own schema decides; unknown fields are refused as well."""
    with pytest.raises(ValueError, match=r"not a CycloneDX 1\.6 SBOM"):
        sbom.text_of({**bom(), "made-up": 1})


def test_what_is_written_is_the_sbom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """main reads cyclonedx-py's answer and writes the file, with its folder."""
    (tmp_path / "in.json").write_text(json.dumps(bom()))
    with (tmp_path / "in.json").open() as given:
        monkeypatch.setattr(sys, "stdin", given)
        sbom.main(str(tmp_path / "build" / "sbom.json"))
    assert (tmp_path / "build" / "sbom.json").read_text() == sbom.text_of(sbom.tidied(bom()))
