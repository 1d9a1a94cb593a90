"""Run Airbyte's own validators on both connectors, in the layout of Airbyte's repository.

These are the metadata model, the registry validators and the QA checks. The QA checks of the documentation run for the
source too, although Airbyte skips them for community connectors; their template has no destinations. The run fails if a
finding is not expected, or if an expected one is not found.
"""

import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import yaml
from airbyte_connector_models.metadata.v0.connector_metadata_definition_v0 import ConnectorMetadataDefinitionV0
from airbyte_ops_mcp.connector_ops.utils import Connector
from airbyte_ops_mcp.connector_qa.checks import ENABLED_CHECKS
from airbyte_ops_mcp.connector_qa.models import CheckCategory, CheckStatus
from airbyte_ops_mcp.metadata_validator import PRE_UPLOAD_VALIDATORS, ValidatorOptions
from airbyte_ops_mcp.registry.validate import PRE_PUBLISH_VALIDATORS, ValidateOptions
from pydantic import ValidationError

ROOT = Path(__file__).parents[2]
CONNECTORS = Path("airbyte-integrations/connectors")
NO_DIGEST = "the digest of the base image is added for the release, see CONTRIBUTING.md"
LOOPBACK = "the hidden setting api_url allows plain HTTP on loopback, for the local Drift"


@dataclass(frozen=True)
class Checked:
    """A connector of this repository.

    Attributes:
        folder: where its files are; a folder below it is copied only if it is in `packages`.
        pages: Airbyte's name of a page -> ours.
        expected: validator -> a regular expression for the whole message, and the reason why we accept it.
    """

    name: str
    folder: Path
    packages: tuple[str, ...]
    pages: Mapping[str, str]
    expected: Mapping[str, tuple[str, str]]

    @property
    def path(self) -> Path:
        return CONNECTORS / self.name

    @property
    def docs(self) -> Path:
        return Path("docs/integrations", self.name.partition("-")[0] + "s")


SOURCE = Checked(
    "source-drift",
    ROOT,
    (),
    {"drift.md": "docs/drift.md", "drift-migrations.md": "docs/drift-migrations.md"},
    {
        "ValidateMetadata": (
            r".* Image docker\.io/airbyte/source-declarative-manifest:\S+ is not in the format <image>:<tag>@<sha>",
            NO_DIGEST,
        ),
        "CheckConnectorUsesHTTPSOnly": (
            rf"The following files have http:// URLs:\n\t- {CONNECTORS}/source-drift/manifest\.yaml",
            LOOPBACK,
        ),
    },
)
NO_POETRY = (
    "requirements.lock pins the packages of both connectors, with hashes; the project table has version and license"
)
DESTINATION = Checked(
    "destination-drift",
    ROOT / "destination-drift",
    ("destination_drift",),
    {"drift.md": "docs/destination-drift.md"},
    {
        "ValidateMetadata": (
            r".* Image docker\.io/airbyte/python-connector-base:\S+ is not in the format <image>:<tag>@<sha>",
            NO_DIGEST,
        ),
        "CheckConnectorCDKTag": (r"KeyError\('poetry'\)", NO_POETRY),
        "CheckConnectorUsesPoetry": (r"poetry\.lock file is missing", NO_POETRY),
        "CheckConnectorLicenseMatchInPyproject": (r"Connector is missing license in pyproject\.toml.*", NO_POETRY),
        "CheckConnectorVersionMatchInPyproject": (r"Version field is missing in the pyproject\.toml file", NO_POETRY),
        "CheckConnectorUsesHTTPSOnly": (
            r"The following files have http:// URLs:(\n\t- \S+/(client\.py|spec\.yaml|destination_tests\.py))+",
            LOOPBACK,
        ),
    },
)
# Skipped: they need the network, and pass or fail wrongly without it.
OFFLINE = {
    "CheckDocumentationLinks": "requests every link, and passes if it cannot reach one",
    "CheckVersionIncrement": "compares with the version on Airbyte's main branch",
    "validate_metadata_base_images_in_dockerhub": "asks Docker Hub",
    "validate_docker_image_tag_is_not_decremented": "asks Docker Hub",
}

# The name of a validator, whether it passed (None: does not apply) and what it said.
Outcome = tuple[str, bool | None, str]


def lay_out(connector: Checked) -> None:
    """Copy the connector's files and pages to where Airbyte's repository has them, below the working directory."""
    connector.path.mkdir(parents=True)
    connector.docs.mkdir(parents=True)
    for path in connector.folder.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, connector.path)
    for package in connector.packages:
        shutil.copytree(connector.folder / package, connector.path / package, ignore=shutil.ignore_patterns("*.pyc"))
    for name, ours in connector.pages.items():
        shutil.copy(ROOT / ours, connector.docs / name)


def metadata_outcomes(connector: Checked) -> Iterator[Outcome]:
    """Yield the results of the metadata model and the registry validators."""
    metadata = yaml.safe_load((connector.path / "metadata.yaml").read_text(encoding="utf-8"))
    page = str(connector.docs / "drift.md")
    try:
        model = ConnectorMetadataDefinitionV0.model_validate(metadata)
    except ValidationError as error:
        yield "ConnectorMetadataDefinitionV0", False, str(error)
        return
    yield "ConnectorMetadataDefinitionV0", True, ""
    upload = ValidatorOptions(docs_path=page, disable_dockerhub_checks=True)
    for validator in PRE_UPLOAD_VALIDATORS:
        name = validator.__name__
        passed, text = (None, OFFLINE[name]) if name in OFFLINE else validator(model, upload)
        yield f"upload: {name}", passed, str(text or "")
    publish = ValidateOptions(docs_path=page)
    for validator in PRE_PUBLISH_VALIDATORS:
        passed, text = validator(metadata["data"], publish)
        yield f"publish: {validator.__name__}", passed, str(text or "")


class NextRelease(Connector):  # type: ignore[misc]
    """The connector as an unreleased version; otherwise, the checks would query Docker Hub."""

    is_released = False


def qa_outcomes(name: str) -> Iterator[Outcome]:
    """Yield the results of the QA checks that need no network."""
    connector = NextRelease(name)
    for check in ENABLED_CHECKS:
        title = type(check).__name__
        if title in OFFLINE:
            yield title, None, OFFLINE[title]
            continue
        # By default, the documentation checks run only for certified connectors that are not manifest-only.
        is_page = check.category is CheckCategory.DOCUMENTATION and name == SOURCE.name
        try:
            with redirect_stdout(StringIO()):
                result = check._run(connector) if is_page else check.run(connector)
        except KeyError as error:
            # Some read a pyproject.toml of Poetry without looking whether it is one.
            yield title, False, repr(error)
            continue
        passed = None if result.status is CheckStatus.SKIPPED else result.status is CheckStatus.PASSED
        yield title, passed, result.message


def outcomes_of(connector: Checked) -> int:
    """Print every outcome. Return how many findings are unexpected, and how many of the expected ones are missing."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        lay_out(connector)
        outcomes = [*metadata_outcomes(connector), *qa_outcomes(connector.name)]
        os.chdir(ROOT)
    wrong = 0
    print(connector.name)
    for name, passed, text in outcomes:
        said, reason = connector.expected.get(name, ("", ""))
        if passed is False and re.fullmatch(said, text.strip(), re.DOTALL):
            print(f"expected {name}: {reason}")
        elif passed is False:
            wrong += 1
            print(f"FAILED   {name}: {text}")
        elif said:
            wrong += 1
            print(f"FAILED   {name}: it passed. Remove it from `expected`.")
        else:
            print(f"passed   {name}" if passed else f"skipped  {name}: {text}")
    print(f"{len(outcomes)} validators, {wrong} unexpected outcomes")
    return wrong


def main() -> int:
    """Return 1 if there is an unexpected finding, or if an expected one is missing."""
    return int(sum([outcomes_of(connector) for connector in (SOURCE, DESTINATION)]) > 0)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    sys.exit(main())
