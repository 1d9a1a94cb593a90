"""Run Airbyte's own validators on this connector, in the layout of Airbyte's repository.

These are the metadata model, the registry validators and the QA checks. The QA checks of the documentation run too,
although Airbyte skips them for community connectors. The run fails if a finding is not in EXPECTED, or if an entry of
EXPECTED is not found.
"""

import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
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
CONNECTOR = Path("airbyte-integrations/connectors/source-drift")
DOCS = Path("docs/integrations/sources")
PAGES = ["drift.md", "drift-migrations.md"]

# Expected findings: a regular expression for the whole message, and the reason why we accept it.
EXPECTED = {
    "ValidateMetadata": (
        r".* Image docker\.io/airbyte/source-declarative-manifest:\S+ is not in the format <image>:<tag>@<sha>",
        "the digest of the base image is added for the release, see CONTRIBUTING.md",
    ),
    "CheckConnectorUsesHTTPSOnly": (
        rf"The following files have http:// URLs:\n\t- {CONNECTOR}/manifest\.yaml",
        "the hidden setting api_url allows plain HTTP on loopback, for the local Drift",
    ),
}
# Skipped: they need the network, and pass or fail wrongly without it.
OFFLINE = {
    "CheckDocumentationLinks": "requests every link, and passes if it cannot reach one",
    "CheckVersionIncrement": "compares with the version on Airbyte's main branch",
    "validate_metadata_base_images_in_dockerhub": "asks Docker Hub",
    "validate_docker_image_tag_is_not_decremented": "asks Docker Hub",
}

# The name of a validator, whether it passed (None: does not apply) and what it said.
Outcome = tuple[str, bool | None, str]


def lay_out(folder: Path) -> None:
    """Copy the connector's files and pages into `folder`, where Airbyte's repository has them."""
    (folder / CONNECTOR).mkdir(parents=True)
    (folder / DOCS).mkdir(parents=True)
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, folder / CONNECTOR)
    for name in PAGES:
        shutil.copy(ROOT / "docs" / name, folder / DOCS)


def metadata_outcomes() -> Iterator[Outcome]:
    """Yield the results of the metadata model and the registry validators."""
    metadata = yaml.safe_load((CONNECTOR / "metadata.yaml").read_text(encoding="utf-8"))
    page = str(DOCS / "drift.md")
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


def qa_outcomes() -> Iterator[Outcome]:
    """Yield the results of the QA checks that need no network."""
    connector = NextRelease(CONNECTOR.name)
    for check in ENABLED_CHECKS:
        name = type(check).__name__
        if name in OFFLINE:
            yield name, None, OFFLINE[name]
            continue
        # By default, the documentation checks run only for certified connectors that are not manifest-only.
        is_page = check.category is CheckCategory.DOCUMENTATION
        with redirect_stdout(StringIO()):
            result = check._run(connector) if is_page else check.run(connector)
        passed = None if result.status is CheckStatus.SKIPPED else result.status is CheckStatus.PASSED
        yield name, passed, result.message


def main() -> int:
    """Print every outcome. Return 1 if there is an unexpected finding, or if an expected one is missing."""
    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder))
        os.chdir(folder)
        outcomes = [*metadata_outcomes(), *qa_outcomes()]
        os.chdir(ROOT)
    wrong = 0
    for name, passed, text in outcomes:
        said, reason = EXPECTED.get(name, ("", ""))
        if passed is False and re.fullmatch(said, text.strip(), re.DOTALL):
            print(f"expected {name}: {reason}")
        elif passed is False:
            wrong += 1
            print(f"FAILED   {name}: {text}")
        elif said:
            wrong += 1
            print(f"FAILED   {name}: it passed. Remove it from EXPECTED.")
        else:
            print(f"passed   {name}" if passed else f"skipped  {name}: {text}")
    print(f"{len(outcomes)} validators, {wrong} unexpected outcomes")
    return 1 if wrong else 0


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    sys.exit(main())
