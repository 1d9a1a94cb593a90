"""metadata.yaml, the icon and the files for Airbyte's tests match the manifest and the components."""

import json
import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import jsonschema
import pytest
import yaml
from airbyte_cdk.sources.declarative.parsers.manifest_reference_resolver import ManifestReferenceResolver
from airbyte_cdk.test.models.scenario import ConnectorTestScenario, entry_key_problems
from airbyte_cdk.utils.yaml_loader import safe_load_yaml
from airbyte_connector_models.metadata.v0.connector_metadata_definition_v0 import ConnectorMetadataDefinitionV0
from pydantic import ValidationError

from unit_tests.conftest import NOW, Answer, Connector, Drift

ROOT = Path(__file__).parents[1]
METADATA = yaml.safe_load((ROOT / "metadata.yaml").read_text(encoding="utf-8"))["data"]
MANIFEST = safe_load_yaml((ROOT / "manifest.yaml").read_text(encoding="utf-8"))
STREAMS = {
    stream["name"]: stream for stream in ManifestReferenceResolver().preprocess_manifest(dict(MANIFEST))["streams"]
}
SPEC = MANIFEST["spec"]["connection_specification"]
FILES = ROOT / "integration_tests"


def test_the_metadata_fits_airbytes_model() -> None:
    """Airbyte's model accepts all of metadata.yaml, and would refuse an unknown key."""
    whole = yaml.safe_load((ROOT / "metadata.yaml").read_text(encoding="utf-8"))
    ConnectorMetadataDefinitionV0.model_validate(whole)
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        ConnectorMetadataDefinitionV0.model_validate({**whole, "data": {**whole["data"], "dockerImageTags": "1.0.0"}})


def test_identity() -> None:
    """The connector has the identity of the published source-drift and is manifest-only."""
    assert METADATA["definitionId"] == "445831eb-78db-4b1f-8f1f-0d96ad8739e2"
    assert METADATA["dockerRepository"] == "airbyte/source-drift"
    assert METADATA["connectorType"] == "source"
    assert METADATA["tags"] == ["language:manifest-only", "cdk:low-code"]
    assert (METADATA["supportLevel"], METADATA["releaseStage"]) == ("community", "alpha")
    assert METADATA["registryOverrides"] == {"cloud": {"enabled": True}, "oss": {"enabled": True}}


def test_versions_agree() -> None:
    """metadata.yaml, pyproject.toml and the newest entries of both changelogs have the same version."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    docs = (ROOT / "docs" / "drift.md").read_text(encoding="utf-8").partition("## Changelog")[2]
    versions = {
        "metadata.yaml": METADATA["dockerImageTag"],
        "pyproject.toml": tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"],
        "CHANGELOG.md": re.findall(r"^- \*\*(\d+\.\d+\.\d+)\*\*", changelog, re.MULTILINE)[0],
        "docs/drift.md": re.findall(r"^\| (\d+\.\d+\.\d+) \|", docs, re.MULTILINE)[0],
    }
    assert set(versions.values()) == {METADATA["dockerImageTag"]}, versions


def test_changelogs_have_one_line_per_version() -> None:
    """Both changelogs have the same versions and dates, one line each, newest first."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    docs = (ROOT / "docs" / "drift.md").read_text(encoding="utf-8").partition("## Changelog")[2]
    ours = re.findall(r"^- \*\*(\d+\.\d+\.\d+)\*\* \((\d{4}-\d\d-\d\d)\): .+$", changelog, re.MULTILINE)
    theirs = re.findall(r"^\| (\d+\.\d+\.\d+) \| (\d{4}-\d\d-\d\d) \|.+\|$", docs, re.MULTILINE)
    assert ours == theirs
    assert ours == sorted(ours, key=lambda line: [int(part) for part in line[0].split(".")], reverse=True)
    assert len(changelog.strip().splitlines()) == 2 + len(ours), changelog
    # Published by Airbyte before this repository.
    assert {"0.2.3", "0.3.0", "0.4.0", "0.4.41"} < {version for version, _ in ours}


def test_the_base_image_is_the_version_of_the_manifest() -> None:
    """The base image has the CDK version of the manifest and of the lock; a release can add the digest."""
    image, _, digest = METADATA["connectorBuildOptions"]["baseImage"].partition("@")
    assert image == f"docker.io/airbyte/source-declarative-manifest:{MANIFEST['version']}"
    assert re.fullmatch(r"(sha256:[0-9a-f]{64})?", digest), digest
    assert f"airbyte-cdk=={MANIFEST['version']} " in (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_allowed_hosts_are_the_requested_hosts() -> None:
    """The allowed hosts are those of the default `api_url` and the token request."""
    rules = MANIFEST["spec"]["config_normalization_rules"]["transformations"][0]["fields"][0]
    oauth = MANIFEST["spec"]["advanced_auth"]["oauth_config_specification"]["oauth_connector_input_specification"]
    hosts = {urlsplit(url).netloc for url in (rules["value"], oauth["access_token_url"])}
    assert set(METADATA["allowedHosts"]["hosts"]) == hosts == {"driftapi.com"}


def test_suggested_streams_exist() -> None:
    """metadata.yaml suggests three to ten streams of the manifest, including the most important ones."""
    suggested = METADATA["suggestedStreams"]["streams"]
    wanted = {"accounts", "contacts", "conversations", "messages", "users"}
    assert set(suggested) == wanted & set(STREAMS), suggested
    assert 3 <= len(suggested) == len(set(suggested)) <= 10, suggested


def test_the_longest_silence_is_computed(drift: Drift, connector: Connector) -> None:
    """`maxSecondsBetweenMessages` covers the longest wait for a request that Drift delays, and little more."""
    requester = MANIFEST["definitions"]["base_requester"]
    timeouts = requester["connect_timeout_in_seconds"] + requester["read_timeout_in_seconds"]
    drift.answers("/users/list", Answer({"error": "throttled"}, 429, {"Retry-After": "600"}))
    assert connector.read("users").status("users") == "INCOMPLETE"
    throttled = drift.clock.now - NOW / 1000 + timeouts
    given = METADATA["maxSecondsBetweenMessages"]
    assert throttled <= given < throttled + 300, (throttled, given)
    text = (ROOT / "metadata.yaml").read_text(encoding="utf-8")
    assert f"= {3600 + 601 + timeouts}, rounded up" in text
    waits = sum(min(60, 2**n) + 1 for n in range(15))
    total = 16 * timeouts + waits
    assert f"16 attempts of {timeouts} s and {waits} s of waits between them are {total} s" in text
    assert total < given


def test_a_breaking_change_for_each_major_version() -> None:
    """Each major version says what breaks, the deadline and where to read more; its streams exist or existed."""
    changes = METADATA["releases"]["breakingChanges"]
    assert list(changes) == ["1.0.0"]
    change = changes["1.0.0"]
    assert date.fromisoformat(change["upgradeDeadline"]) > date(2026, 11, 21)
    assert change["deadlineAction"] == "auto_upgrade"
    assert change["migrationDocumentationUrl"] == f"{METADATA['documentationUrl']}-migrations#upgrading-to-100"
    (scope,) = change["scopedImpact"]
    published = {"accounts", "contacts", "conversations", "messages", "users"}
    assert scope["scopeType"] == "stream"
    assert set(scope["impactedScopes"]) == published <= set(STREAMS)
    for told in ("`accountId`", "`contacts`", "`contact_emails`", "`contacts_by_email`"):
        assert told in change["message"], (told, change["message"])


def test_scopes_of_the_registry_are_those_of_the_streams() -> None:
    """A comment in metadata.yaml has exactly the scopes of the streams, and no write scope."""
    text = (ROOT / "metadata.yaml").read_text(encoding="utf-8")
    scopes = {stream["$parameters"]["required_scope"] for stream in STREAMS.values()} - {"of any kind"}
    assert set(re.findall(r"\b\w+_(?:read|write)\b", text)) == scopes


def test_documentation_url_is_the_one_of_the_spec() -> None:
    """The registry and the settings link to the same page."""
    assert METADATA["documentationUrl"] == MANIFEST["spec"]["documentation_url"]


def test_the_icon_is_square() -> None:
    """icon.svg is 250 by 250 and refers to nothing outside the file."""
    text = (ROOT / "icon.svg").read_text(encoding="utf-8")
    icon = ElementTree.fromstring(text)  # noqa: S314 (our own file)
    assert (icon.get("width"), icon.get("height"), icon.get("viewBox")) == ("250", "250", "0 0 250 250")
    assert METADATA["icon"] == "icon.svg"
    assert re.findall(r"<image|href=|<script|<style", text) == []


def test_standard_tests_accept_every_entry() -> None:
    """Airbyte's test suite reads every section and key of acceptance-test-config.yml, and no config needs secrets."""
    sections = yaml.safe_load((ROOT / "acceptance-test-config.yml").read_text(encoding="utf-8"))["acceptance_tests"]
    assert set(sections) == {"spec", "connection", "discovery", "basic_read", "full_refresh"}
    outcomes = {}
    for section, tests in sections.items():
        for entry in tests["tests"]:
            assert entry_key_problems(entry, [section]) == []
            scenario = ConnectorTestScenario(**entry, sections=(section,))
            assert (ROOT / scenario.config_path).is_file(), entry
            assert not scenario.requires_creds, entry
            if section == "connection":
                outcomes[scenario.id] = scenario.status
    assert outcomes == {"sample_config": "succeed", "sample_config_oauth": "succeed", "invalid_config": "failed"}


def load(name: str) -> Any:
    return json.loads((FILES / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["sample_config.json", "sample_config_oauth.json", "invalid_config.json"])
def test_sample_configs_are_valid_and_local(name: str) -> None:
    """Each config is valid and uses a Drift on this machine; the invalid one differs only by its token."""
    config = load(name)
    jsonschema.validate(config, SPEC)
    assert urlsplit(config["api_url"]).hostname == "127.0.0.1", config


def test_the_catalog_is_the_manifest() -> None:
    """The configured catalog selects every stream with its key, in its best sync mode."""
    found = {}
    for configured in load("configured_catalog.json")["streams"]:
        stream = configured["stream"]
        assert configured["primary_key"] == stream["source_defined_primary_key"], stream["name"]
        assert configured["sync_mode"] == stream["supported_sync_modes"][-1], stream["name"]
        found[stream["name"]] = (stream["source_defined_primary_key"], configured["sync_mode"])
    assert found == {
        name: (
            [[key] for key in stream["primary_key"]],
            "incremental" if "incremental_sync" in stream else "full_refresh",
        )
        for name, stream in STREAMS.items()
    }


@pytest.mark.parametrize(("name", "ahead"), [("sample_state.json", False), ("abnormal_state.json", True)])
def test_states_have_the_incremental_streams(name: str, ahead: bool) -> None:
    """Each state has exactly the incremental streams with their cursors; the abnormal one is far in the future."""
    cursors = {
        name: stream["incremental_sync"]["cursor_field"]
        for name, stream in STREAMS.items()
        if "incremental_sync" in stream
    }
    states = {state["stream"]["stream_descriptor"]["name"]: state["stream"]["stream_state"] for state in load(name)}
    assert set(states) == set(cursors)
    for stream, state in states.items():
        if "parent_stream_configs" in str(STREAMS[stream]["retriever"]):
            assert set(state["state"]) == {cursors[stream]}, (stream, state)
            values = [*state["state"].values(), state["parent_state"]["conversations"]["updatedAt"]]
        else:
            assert set(state) == {cursors[stream]}, (stream, state)
            values = list(state.values())
        # Meetings are in the future, and their state is not used.
        assert stream == "meetings" or {int(value) > 4_000_000_000_000 for value in values} == {ahead}, (stream, values)
