"""metadata.yaml, the icon, the package and the spec fit Airbyte and each other."""

import io
import re
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml
from airbyte_cdk.utils.yaml_loader import safe_load_yaml
from airbyte_connector_models.metadata.v0.connector_metadata_definition_v0 import ConnectorMetadataDefinitionV0
from destination_tests import FOLDER

from destination_drift.destination import SCOPES, DestinationDrift
from destination_drift.messages import Output

ROOT = FOLDER.parent
METADATA = yaml.safe_load((FOLDER / "metadata.yaml").read_text(encoding="utf-8"))
SPEC = DestinationDrift(Output(io.BytesIO())).specification()
PAGE = (FOLDER.parent / "docs" / "destination-drift.md").read_text(encoding="utf-8")


def branches(specification: dict[str, Any]) -> dict[str, tuple[list[str], dict[str, bool]]]:
    """Each way to authenticate, with its required settings and which of them are secret."""
    return {
        one["title"]: (one["required"], {name: field.get("airbyte_secret", False) for name, field in fields.items()})
        for one in specification["properties"]["credentials"]["oneOf"]
        if (fields := {key: value for key, value in one["properties"].items() if key != "token_expiry_date"})
    }


def test_the_metadata_fits_airbytes_model() -> None:
    """Airbyte's model accepts all of metadata.yaml, which describes a destination for data activation."""
    ConnectorMetadataDefinitionV0.model_validate(METADATA)
    data = METADATA["data"]
    assert (data["connectorType"], data["dockerRepository"]) == ("destination", "airbyte/destination-drift")
    assert data["supportsDataActivation"] is data["supportsRefreshes"] is True
    source = yaml.safe_load((ROOT / "metadata.yaml").read_text(encoding="utf-8"))["data"]
    assert data["definitionId"] != source["definitionId"]
    assert data["allowedHosts"] == source["allowedHosts"]


def test_versions_agree() -> None:
    """metadata.yaml, pyproject.toml and the newest entry of CHANGELOG.md have the same version."""
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    newest = re.search(r"\d+\.\d+\.\d+", (FOLDER / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert newest
    assert {METADATA["data"]["dockerImageTag"], project["version"], newest[0]} == {project["version"]}


def test_dependencies_are_those_of_the_source() -> None:
    """The lock has every dependency, and the CDK has the source's bounds."""
    own, source = (
        tomllib.loads(path.read_text(encoding="utf-8"))["project"]["dependencies"]
        for path in (FOLDER / "pyproject.toml", ROOT / "pyproject.toml")
    )
    assert set(source) <= set(own)
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert [name for name in own if not re.search(rf"^{re.split('[<>=]', name)[0]}==", lock, re.MULTILINE)] == []


def test_the_package_needs_nothing_of_the_repository() -> None:
    """The package imports neither the source nor the sandbox, because pip installs it alone."""
    code = "".join(path.read_text(encoding="utf-8") for path in (FOLDER / "destination_drift").rglob("*.py"))
    assert re.findall(r"^\s*(?:from|import) (?:source_drift|sandbox|components|tools)\b", code, re.MULTILINE) == []


def test_the_icon_is_square() -> None:
    """icon.svg is 250 by 250 and refers to nothing outside the file."""
    text = Path(FOLDER / METADATA["data"]["icon"]).read_text(encoding="utf-8")
    icon = ElementTree.fromstring(text)  # noqa: S314 (our own file)
    assert (icon.get("width"), icon.get("height"), icon.get("viewBox")) == ("250", "250", "0 0 250 250")
    assert re.findall(r"<image|href=|<script|<style", text) == []


def test_credentials_are_those_of_the_source() -> None:
    """The credentials of a config and the sign-in have the source's form, and the same values are secret."""
    source = safe_load_yaml((ROOT / "manifest.yaml").read_text(encoding="utf-8"))["spec"]
    assert branches(SPEC["connectionSpecification"]) == branches(source["connection_specification"])
    assert SPEC["advanced_auth"] == source["advanced_auth"]
    own, its = (
        one["properties"]["api_url"] for one in (SPEC["connectionSpecification"], source["connection_specification"])
    )
    assert (own["pattern"], own["airbyte_hidden"]) == (its["pattern"], True)
    assert SPEC["supported_destination_sync_modes"] == ["append", "append_dedup"]


def test_every_setting_is_described() -> None:
    """Settings have a title, a description and an order; the page names each of them, each scope and each file."""
    fields = SPEC["connectionSpecification"]["properties"]
    assert [field["order"] for field in fields.values()] == list(range(len(fields)))
    assert [name for name, field in fields.items() if not (field["title"] and field["description"])] == []
    assert [name for name in (*fields, *SCOPES) if f"`{name}`" not in PAGE and name != "api_url"] == []


def test_every_code_of_a_rejected_row_has_a_remedy() -> None:
    """The page has a row for each code that a row can be rejected with, and for no other."""
    code = "".join(path.read_text(encoding="utf-8") for path in (FOLDER / "destination_drift").glob("*.py"))
    rows = re.findall(
        r"^\| `(\w+)` \| (.+) \| (.+) \|$", PAGE.partition("## Rejected rows")[2].partition("## ")[0], re.M
    )
    assert sorted(row[0] for row in rows) == sorted(set(re.findall(r'Rejected\(\s*"(\w+)"', code)))
