"""The config and the catalog say what each stream becomes, or the run fails before it writes anything."""

from __future__ import annotations

import io
from typing import Any

import pytest
from airbyte_protocol_dataclasses.models import DestinationOperation
from destination_tests import CANARIES, catalog, config

from destination_drift.catalog import Stream, operations, streams_of
from destination_drift.destination import DestinationDrift
from destination_drift.errors import ConfigError
from destination_drift.messages import Output
from destination_drift.settings import Settings

DESTINATION = DestinationDrift(Output(io.BytesIO()))


def settings(**given: Any) -> Settings:
    return DESTINATION.settings({**config(), **given})


def test_settings_have_the_defaults_of_the_spec() -> None:
    """A config with credentials only is complete."""
    found = DESTINATION.settings({"credentials": config()["credentials"]})
    assert (found.api_url, found.match_by, found.on_ambiguous) == ("https://driftapi.com", "email", "reject")
    assert (found.empty_values, found.unknown_attributes, found.dry_run) == ("ignore", "fail", False)
    assert (found.max_requests_per_second, found.max_rejected_percent) == (10, 20)
    assert (found.stream_map, found.field_map, found.rejected_rows_directory) == ({}, {}, None)


def test_odd_settings_are_used() -> None:
    """Null is the default, and 10.0 is a whole number."""
    found = settings(match_by=None, max_requests_per_second=10.0)
    assert (found.match_by, repr(found.max_requests_per_second)) == ("email", "10")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"credentials": {}}, "credentials: 'credentials' is a required property"),
        ({"credentials": {"credentials": "access_token"}}, "credentials: 'access_token' is a required property"),
        ({"credentials": "canary@example.com"}, "credentials: is not one of the allowed values"),
        ({"match_by": "canary@example.com"}, "match_by: is not one of the allowed values"),
        ({"api_url": "http://drift.example.com"}, "api_url: is not one of the allowed values"),
        ({"max_rejected_percent": 101}, "max_rejected_percent: is not one of the allowed values"),
        ({"stream_map": [{"stream": "a"}]}, "stream_map.0: 'object' is a required property"),
        ({"stream_map": [{"stream": "a", "object": "contact"}] * 2}, "stream_map has the stream a twice"),
        ({"field_map": [{"column": "a", "attribute": b} for b in "xy"]}, "field_map has the column a twice"),
    ],
)
def test_a_wrong_setting_is_named_but_not_quoted(given: dict[str, Any], message: str) -> None:
    """The error has the name of the setting; its value may be a secret."""
    with pytest.raises(ConfigError, match=f"^{message}") as error:
        settings(**given)
    assert not [canary for canary in CANARIES if canary in str(error.value)]
    with pytest.raises(ConfigError, match=r"^The config: 'credentials' is a required property"):
        DESTINATION.settings({})


def test_a_stream_named_like_an_object_needs_no_setting() -> None:
    """Columns are attributes of the same name, and both append modes are upserts."""
    for mode in ("append", "append_dedup"):
        (stream,) = streams_of(catalog(destination_sync_mode=mode, sync_id=3, columns=["email"]), settings())
        assert stream == Stream((None, "contact"), "contact", "upsert", "id", {"email": "email"}, 3)
    (stream,) = streams_of(catalog(destination_sync_mode="update"), settings())
    assert stream.mode == "update"


def test_streams_and_columns_are_mapped() -> None:
    """stream_map, field_map and the object that a data activation chose lead to the same stream."""
    fields = [{"column": "mail", "attribute": "email"}]
    by_setting = settings(field_map=fields, stream_map=[{"stream": "crm", "object": "contact"}])
    (stream,) = streams_of(catalog("crm", columns=["mail", "name"]), by_setting)
    assert (stream.object, stream.columns) == ("contact", {"mail": "email", "name": "name"})
    chosen = catalog("crm", columns=["mail", "name"], destination_object_name="contact")
    assert streams_of(chosen, settings(field_map=fields)) == [stream]


def test_only_the_key_of_a_chosen_object_replaces_match_by() -> None:
    """Without a chosen object, the primary key is that of the source's own table."""
    keyed = {"primary_key": [["mail"]], "columns": ["mail"]}
    fields = [{"column": "mail", "attribute": "email"}]
    (own,) = streams_of(catalog(**keyed), settings(field_map=fields))
    (chosen,) = streams_of(catalog(**keyed, destination_object_name="contact"), settings(field_map=fields))
    assert (own.match_by, chosen.match_by) == ("id", "email")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (catalog("crm"), "The stream crm is not named like an object of Drift"),
        (catalog(destination_object_name="account"), "The stream contact is not named like an object of Drift"),
        (catalog(destination_sync_mode="overwrite"), "The stream contact has the sync mode overwrite. Choose one of"),
        (catalog(destination_sync_mode="soft_delete"), "The stream contact has the sync mode soft_delete."),
        (catalog(columns=[]), "The stream contact has no columns"),
        (catalog(columns=["email", "mail"]), "Two columns of the stream contact map to email"),
        (
            catalog(destination_object_name="contact", primary_key=[["name"]]),
            "The stream contact has the matching key name. Choose one of email, externalId, id",
        ),
        ({"streams": [{}]}, "The catalog is not a configured catalog"),
        ({}, "The catalog is not a configured catalog"),
        ([], "The catalog is not a configured catalog"),
    ],
)
def test_a_catalog_that_cannot_be_written_is_an_error(given: Any, message: str) -> None:
    """The error names the stream and what to change."""
    with pytest.raises(ConfigError, match=f"^{message}"):
        streams_of(given, settings(field_map=[{"column": "mail", "attribute": "email"}]))


def test_discover_offers_what_can_be_set() -> None:
    """Operations have the attributes with their types, without those that only Drift sets."""
    types = {"plan": "STRING", "seats": "NUMERIC", "trial": "BOOLEAN", "renewed": "DATETIME", "_version": "STRING"}
    types |= {
        "last_active": "DATETIME",
        "last_name": "STRING",
        "last_page_title": "STRING",
        "tags": "STRING",
        "events": "STRING",
        "odd": "SOMETHING",
    }
    found = [DestinationOperation(**operation) for operation in operations(types)]
    offered = [("contact", "append_dedup"), ("contact", "update")]
    offered += [("audience_member", "append_dedup"), ("audience_member", "soft_delete")]
    assert [(one.object_name, one.sync_mode) for one in found] == offered
    for one in found:
        assert one.matching_keys == [["email"], ["externalId"], ["id"]]
    for one in found[2:]:
        assert set(one.json_schema["properties"]) == {"email", "externalId", "id", "member"}
    for one in found[:2]:
        properties = one.json_schema["properties"]
        assert set(properties) == {"plan", "seats", "trial", "renewed", "odd", "last_name", "email", "externalId", "id"}
        assert properties["renewed"] == {"type": ["string", "null"], "format": "date-time"}
        assert properties["odd"] == {"type": ["string", "null"]}
