"""The settings, and the migration of the configs of all earlier versions."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import requests
from airbyte_cdk.models import ConnectorSpecificationSerializer
from jsonschema import Draft7Validator

from unit_tests.conftest import NOW, TOKEN, Answer, Connector, Drift, config

SECRET_NAMES = {"access_token", "refresh_token", "client_id", "client_secret"}


@pytest.fixture(scope="module")
def spec(manifest: dict[str, Any]) -> dict[str, Any]:
    return dict(manifest["spec"])


@pytest.fixture(scope="module")
def specification(spec: dict[str, Any]) -> dict[str, Any]:
    return dict(spec["connection_specification"])


@pytest.fixture(scope="module")
def branches(specification: dict[str, Any]) -> list[dict[str, Any]]:
    return list(specification["properties"]["credentials"]["oneOf"])


def is_valid(specification: dict[str, Any], given: dict[str, Any]) -> bool:
    return bool(Draft7Validator(specification).is_valid(given))


# The form


def test_spec_is_a_schema(specification: dict[str, Any], connector: Connector, manifest: dict[str, Any]) -> None:
    """The specification is a valid JSON schema, and the source returns it."""
    Draft7Validator.check_schema(specification)
    handed = ConnectorSpecificationSerializer.dump(connector.source()._spec_component.generate_spec())
    assert handed["connectionSpecification"] == specification
    assert handed["documentationUrl"] == "https://docs.airbyte.com/integrations/sources/drift"


def test_oauth_is_the_first_option(branches: list[dict[str, Any]]) -> None:
    """OAuth comes before the access token, and each option has the published discriminator."""
    assert [branch["title"] for branch in branches] == ["OAuth2.0", "Access Token"]
    assert [branch["properties"]["credentials"]["const"] for branch in branches] == ["oauth2.0", "access_token"]
    assert all("credentials" in branch["required"] for branch in branches)


def test_every_credential_is_secret_in_every_branch(branches: list[dict[str, Any]]) -> None:
    """The platform masks every credential in every option."""
    secret = [
        {name for name, inner in branch["properties"].items() if inner.get("airbyte_secret")} for branch in branches
    ]
    assert secret == [SECRET_NAMES, {"access_token"}]


def test_only_credentials_are_required(specification: dict[str, Any]) -> None:
    """All settings except the credentials are optional."""
    assert specification["required"] == ["credentials"]
    assert specification["additionalProperties"] is True


def test_everything_is_explained(specification: dict[str, Any], branches: list[dict[str, Any]]) -> None:
    """Each field has a title, a description and its own position in the form."""
    for fields in (specification["properties"], *[branch["properties"] for branch in branches]):
        shown = {name: inner for name, inner in fields.items() if "const" not in inner}
        for name, inner in shown.items():
            assert inner["title"], name
            assert inner["description"].endswith("."), name
        orders = [inner["order"] for inner in fields.values()]
        assert sorted(set(orders)) == sorted(orders), fields


def test_api_url_and_expiry_are_hidden(specification: dict[str, Any], branches: list[dict[str, Any]]) -> None:
    """The form hides the settings that no user sets."""
    assert specification["properties"]["api_url"]["airbyte_hidden"] is True
    assert branches[0]["properties"]["token_expiry_date"]["airbyte_hidden"] is True


@pytest.mark.parametrize(
    ("api_url", "valid"),
    [
        ("https://driftapi.com", True),
        ("https://drift-proxy.example", True),
        ("https://drift.example:8443", True),
        ("http://localhost", True),
        ("http://localhost:8080", True),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("http://driftapi.com", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://localhost@evil.example", False),
        ("http://localhost:80@evil.example", False),
        ("http://127.0.0.2", False),
        ("http://0.0.0.0", False),
        ("http://10.0.0.1", False),
        ("https://user:password@driftapi.com", False),
        ("https://driftapi.com@evil.example", False),
        ("https://driftapi.com/", False),
        ("https://driftapi.com/v1", False),
        ("https://driftapi.com?x=y", False),
        ("https://driftapi.com#x", False),
        ("https://driftapi.com\\@evil.example", False),
        ("https://driftapi.com:", False),
        ("https://driftapi.com:x", False),
        ("https://", False),
        ("https://drift api.com", False),
        (" https://driftapi.com", False),
        ("HTTPS://driftapi.com", False),
        ("ftp://driftapi.com", False),
        ("file:///etc/passwd", False),
        ("javascript:alert(1)", False),
        ("//driftapi.com", False),
        ("driftapi.com", False),
        ("", False),
        ("{{ config }}", False),
        (1, False),
    ],
    ids=str,
)
def test_api_url_is_https_or_loopback(specification: dict[str, Any], api_url: Any, valid: bool) -> None:
    """The token goes to a host over HTTPS, or over HTTP to this machine, and no trick reaches another host."""
    assert is_valid(specification, config(api_url=api_url)) is valid


@pytest.mark.parametrize("api_url", ["https://driftapi.com\n", "https://driftapi.com\nhttps://evil.example"])
def test_api_url_of_two_lines(drift: Drift, connector: Connector, api_url: str) -> None:
    """A line break after the host reaches no other host: it is refused, or the request fails."""
    outcome = connector.read("users", config=config(api_url=api_url))
    assert outcome.status("users") != "COMPLETE"
    assert drift.foreign == []


START_DATES = {
    "2024-01-31T00:00:00Z": True,
    "2024-02-29T23:59:59Z": True,
    "2000-02-29T00:00:00Z": True,
    "2099-12-31T00:00:00Z": True,
    "2024-02-30T00:00:00Z": False,
    "2024-02-31T00:00:00Z": False,
    "2023-02-29T00:00:00Z": False,
    "2024-04-31T00:00:00Z": False,
    "2024-13-01T00:00:00Z": False,
    "2024-00-01T00:00:00Z": False,
    "2024-01-00T00:00:00Z": False,
    "2024-01-32T00:00:00Z": False,
    "1999-12-31T00:00:00Z": False,
    "2100-01-01T00:00:00Z": False,
    "2024-01-31T24:00:00Z": False,
    "2024-01-31T00:60:00Z": False,
    "2024-01-31T00:00:60Z": False,
    "": False,
    "2024-01-31": False,
    "2024-01-31T00:00:00": False,
    "2024-01-31 00:00:00Z": False,
    "2024-01-31t00:00:00z": False,
    "2024-01-31T00:00Z": False,
    "2024-01-31T00:00:00+00:00": False,
    "2024-01-31T00:00:00+01:00": False,
    "2024-01-31T00:00:00.000Z": False,
    " 2024-01-31T00:00:00Z": False,
    "2024-01-31T00:00:00Z\n": False,
    "٢٠٢٤-01-31T00:00:00Z": False,
    "31.01.2024": False,
    "1706659200000": False,
    "yesterday": False,
}


@pytest.mark.parametrize(("start_date", "valid"), [*START_DATES.items(), (1706659200000, False)], ids=ascii)
def test_start_date_format(specification: dict[str, Any], start_date: Any, valid: bool) -> None:
    """A start date is an existing date and time in UTC, to the second."""
    assert is_valid(specification, {**config(), "start_date": start_date}) is valid


@pytest.mark.skipif(not which("node"), reason="Node.js is not installed")
def test_start_date_in_the_form_of_the_platform(specification: dict[str, Any]) -> None:
    """Airbyte's form, which tests the pattern in JavaScript and ignores formats, accepts the same start dates."""
    script = """
        const {pattern, texts} = JSON.parse(require("fs").readFileSync(0));
        console.log(JSON.stringify(texts.map((text) => new RegExp(pattern).test(text))));
    """
    given = json.dumps({"pattern": specification["properties"]["start_date"]["pattern"], "texts": [*START_DATES]})
    answer = subprocess.run(["node", "--eval", script], input=given, capture_output=True, check=True, text=True)
    assert dict(zip(START_DATES, json.loads(answer.stdout), strict=True)) == START_DATES


@pytest.mark.skipif(not which("javac"), reason="no Java development kit is installed")
def test_start_date_in_the_server_of_the_platform(specification: dict[str, Any], tmp_path: Path) -> None:
    """Airbyte's server accepts the same start dates: Java can parse every value that matches the pattern."""
    pattern = json.dumps(specification["properties"]["start_date"]["pattern"])
    source = tmp_path / "Start.java"
    source.write_text(
        f"""
        class Start {{
            public static void main(String[] unused) {{
                var pattern = java.util.regex.Pattern.compile({pattern});
                for (var text : new String[] {{{json.dumps([*START_DATES])[1:-1]}}}) {{
                    boolean fits = pattern.matcher(text).find();
                    if (fits) java.time.OffsetDateTime.parse(text);
                    System.out.println(fits);
                }}
            }}
        }}
        """,
        encoding="utf-8",
    )
    answer = subprocess.run(["java", str(source)], capture_output=True, check=True, text=True)
    found = [line == "true" for line in answer.stdout.split()]
    assert dict(zip(START_DATES, found, strict=True)) == START_DATES


def test_start_date_is_explained_in_words(specification: dict[str, Any]) -> None:
    """The error for an invalid start date shows an example, not the pattern."""
    field = specification["properties"]["start_date"]
    assert field["pattern_descriptor"] == "YYYY-MM-DDTHH:mm:ssZ"
    assert all(START_DATES[example] for example in field["examples"])


@pytest.mark.parametrize("start_date", [text for text, valid in START_DATES.items() if valid and text < "2026"])
def test_every_start_date_can_be_read_from(drift: Drift, connector: Connector, start_date: str) -> None:
    """Every start date that the form accepts works in a read."""
    drift.answers("/conversations/list", Answer({"data": [{"id": 1, "updatedAt": NOW, "createdAt": NOW}]}))
    outcome = connector.read("conversations", config=config(start_date=start_date))
    assert (outcome.status("conversations"), outcome.keys("conversations")) == ("COMPLETE", [1]), outcome.summary


@pytest.mark.parametrize("start_date", ["2024-02-31T00:00:00Z", "2024-01-31", ""])
def test_an_invalid_start_date_is_refused(drift: Drift, connector: Connector, start_date: str) -> None:
    """An invalid start date is a config error, before any request."""
    outcome = connector.read("conversations", config={**config(), "start_date": start_date})
    error = outcome.output.errors[-1].trace.error
    assert (error.failure_type.value, repr(start_date) in error.message) == ("config_error", True), error.message
    assert drift.requests == []


@pytest.mark.parametrize(
    ("rate", "valid"),
    [(1, True), (35, True), (50, True), (0, False), (51, False), (-1, False), (2.5, False), ("35", False)],
)
def test_rate_bounds(specification: dict[str, Any], rate: Any, valid: bool) -> None:
    """The rate is an integer from 1 to 50."""
    assert is_valid(specification, config(max_requests_per_second=rate)) is valid


def test_rate_is_an_integer_in_the_form_of_the_platform(specification: dict[str, Any]) -> None:
    """Airbyte's form checks bounds and enums, but not that a number is an integer, so every value is listed."""
    rate = specification["properties"]["max_requests_per_second"]
    assert rate["enum"] == list(range(rate["minimum"], rate["maximum"] + 1))


@pytest.mark.parametrize(
    ("credentials", "valid"),
    [
        ({"credentials": "access_token", "access_token": "x"}, True),
        ({"credentials": "access_token"}, False),
        ({"credentials": "oauth2.0", "client_id": "x", "client_secret": "x", "refresh_token": "x"}, True),
        ({"credentials": "oauth2.0", "access_token": "x"}, False),
        ({"credentials": "basic", "access_token": "x"}, False),
    ],
    ids=str,
)
def test_credentials_of_one_kind(specification: dict[str, Any], credentials: dict[str, str], valid: bool) -> None:
    """Exactly one of the two options is filled in."""
    assert is_valid(specification, {"credentials": credentials}) is valid


# Migrations

OLD_OAUTH = {
    "credentials": "oauth2.0",
    "client_id": "made-up-id",
    "client_secret": "made-up-secret",
    "access_token": "made-up-access",
    "refresh_token": "made-up-refresh",
}
OLD_TOKEN = {"credentials": "access_token", "access_token": TOKEN}


def without(given: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in names}


MIGRATIONS = {
    "0.2.x": ({"access_token": TOKEN}, {"credentials": OLD_TOKEN}),
    "0.2.x with more": (
        {"access_token": TOKEN, "start_date": "2024-01-31T00:00:00Z"},
        {"credentials": OLD_TOKEN, "start_date": "2024-01-31T00:00:00Z"},
    ),
    "0.2.x with blanks": ({"access_token": f" {TOKEN}\n"}, {"credentials": OLD_TOKEN}),
    "0.4.x token, address": (
        {"credentials": OLD_TOKEN, "email": "a@b.example"},
        {"credentials": OLD_TOKEN, "contact_emails": ["a@b.example"]},
    ),
    "0.4.x token, placeholder": (
        {"credentials": OLD_TOKEN, "email": "test@test.com"},
        {"credentials": OLD_TOKEN},
    ),
    "0.4.x token, empty address": ({"credentials": OLD_TOKEN, "email": ""}, {"credentials": OLD_TOKEN}),
    "0.4.x token, address that looks like a list": (
        {"credentials": OLD_TOKEN, "email": "['a@b.example']"},
        {"credentials": OLD_TOKEN, "contact_emails": ["['a@b.example']"]},
    ),
    "0.4.x oauth, address": (
        {"credentials": OLD_OAUTH, "email": "a@b.example"},
        {"credentials": OLD_OAUTH, "contact_emails": ["a@b.example"]},
    ),
    "0.4.x oauth, placeholder": (
        {"credentials": OLD_OAUTH, "email": "test@test.com"},
        {"credentials": OLD_OAUTH},
    ),
    "address beside contact_emails": (
        {"credentials": OLD_TOKEN, "email": "a@b.example", "contact_emails": ["c@d.example"]},
        {"credentials": OLD_TOKEN, "contact_emails": ["c@d.example"]},
    ),
    "no discriminator, token": ({"credentials": {"access_token": TOKEN}}, {"credentials": OLD_TOKEN}),
    "empty discriminator": ({"credentials": {"credentials": "", "access_token": TOKEN}}, {"credentials": OLD_TOKEN}),
    "no discriminator, oauth": ({"credentials": without(OLD_OAUTH, "credentials")}, {"credentials": OLD_OAUTH}),
    "no discriminator, client id alone": (
        {"credentials": {"client_id": "made-up-id", "access_token": "x"}},
        {"credentials": {"client_id": "made-up-id", "access_token": "x", "credentials": "oauth2.0"}},
    ),
    "no discriminator, refresh token alone": (
        {"credentials": {"refresh_token": "made-up", "access_token": "x"}},
        {"credentials": {"refresh_token": "made-up", "access_token": "x", "credentials": "oauth2.0"}},
    ),
    "token with blanks": (
        {"credentials": {"credentials": "access_token", "access_token": f"\t {TOKEN} \r\n"}},
        {"credentials": OLD_TOKEN},
    ),
    "token of both generations": (
        {"access_token": "of 0.2.x", "credentials": OLD_TOKEN},
        {"credentials": OLD_TOKEN},
    ),
}
UNCHANGED = {
    "1.0 token": {"credentials": OLD_TOKEN},
    "1.0 oauth": {"credentials": OLD_OAUTH, "start_date": "2024-01-31T00:00:00Z", "max_requests_per_second": 5},
    "1.0 with addresses": {"credentials": OLD_TOKEN, "contact_emails": ["a@b.example"]},
}


def migrate(
    connector: Connector, capsys: pytest.CaptureFixture[str], given: dict[str, Any]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The config file after a start of the source, and the emitted configs."""
    capsys.readouterr()
    connector.source(given)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    handed = [line["control"]["connectorConfig"]["config"] for line in lines if line["type"] == "CONTROL"]
    return json.loads(connector.config_path.read_text()), handed


@pytest.mark.parametrize(("given", "expected"), MIGRATIONS.values(), ids=MIGRATIONS)
def test_old_config_is_migrated(
    connector: Connector, capsys: pytest.CaptureFixture[str], given: dict[str, Any], expected: dict[str, Any]
) -> None:
    """An old config is migrated, emitted and written to its file, and a second run changes nothing."""
    written, handed = migrate(connector, capsys, given)
    assert written == expected
    assert handed == [expected]
    assert migrate(connector, capsys, written) == (expected, [])


def edited(specification: dict[str, Any], saved: dict[str, Any]) -> dict[str, Any]:
    """The config that Airbyte's form saves after an edit: the settings of the spec, even hidden ones, and no others."""
    kept = {name: value for name, value in saved.items() if name in specification["properties"]}
    for branch in specification["properties"]["credentials"]["oneOf"]:
        if kept.get("credentials", {}).get("credentials") == branch["properties"]["credentials"]["const"]:
            kept["credentials"] = {
                name: kept["credentials"][name] for name in branch["properties"] if name in kept["credentials"]
            }
    return {**kept, "max_requests_per_second": 10}


@pytest.mark.parametrize("kind", ["token", "oauth"])
@pytest.mark.parametrize("ending", ["address", "placeholder"])
def test_old_config_survives_an_edit_in_the_form(
    connector: Connector, capsys: pytest.CaptureFixture[str], specification: dict[str, Any], kind: str, ending: str
) -> None:
    """A 0.4.x config that is edited in the form before its first sync keeps its token and address."""
    given, expected = MIGRATIONS[f"0.4.x {kind}, {ending}"]
    saved = edited(specification, given)
    assert is_valid(specification, saved), saved
    written, _ = migrate(connector, capsys, saved)
    assert written == {**expected, "max_requests_per_second": 10}


def test_flat_config_cannot_be_edited_in_the_form(specification: dict[str, Any]) -> None:
    """The form drops the token of a flat 0.2.x config, and then asks for the credentials."""
    assert edited(specification, MIGRATIONS["0.2.x"][0]) == {"max_requests_per_second": 10}
    assert not is_valid(specification, {"max_requests_per_second": 10})


@pytest.mark.parametrize("given", UNCHANGED.values(), ids=UNCHANGED)
def test_current_config_is_not_changed(
    connector: Connector, capsys: pytest.CaptureFixture[str], given: dict[str, Any]
) -> None:
    """A current config is neither written nor emitted."""
    assert migrate(connector, capsys, given) == (given, [])


@pytest.mark.parametrize("given", [before for before, _ in MIGRATIONS.values()][:1] + list(UNCHANGED.values()))
def test_default_host_is_not_saved(
    connector: Connector, capsys: pytest.CaptureFixture[str], given: dict[str, Any]
) -> None:
    """The saved config does not contain the default of the hidden host."""
    written, handed = migrate(connector, capsys, given)
    assert [kept for kept in (written, *handed) if "api_url" in kept] == []


@pytest.mark.parametrize(("given", "expected"), MIGRATIONS.values(), ids=MIGRATIONS)
def test_migrated_config_is_valid(
    specification: dict[str, Any], given: dict[str, Any], expected: dict[str, Any]
) -> None:
    """The form accepts a migrated config if nothing was missing before."""
    credentials = expected["credentials"]
    is_whole = credentials["credentials"] == "access_token" or set(credentials) >= SECRET_NAMES
    assert is_valid(specification, expected) is is_whole


ODD = [
    "1e5",
    "0",
    "007",
    "None",
    "True",
    "[1]",
    "{'a': 1}",
    "'a'",
    '"a"',
    "a'b",
    'a"b',
    "a\\b",
    "a\\n",
    "é",
    "日本",
    "😀",
]
ODD += ["{{ config }}", "{% raw %}", "a}}b{{c", "a%20b+/==", "12345678901234567890", "1_000"]


@pytest.mark.parametrize("token", ODD)
@pytest.mark.parametrize("shape", ["flat", "nested"])
def test_token_survives_a_migration(
    connector: Connector, capsys: pytest.CaptureFixture[str], token: str, shape: str
) -> None:
    """A token that looks like a literal or a template, or needs escapes, does not change."""
    given = {"access_token": token} if shape == "flat" else {"credentials": {"access_token": token}}
    written, handed = migrate(connector, capsys, given)
    assert written == {"credentials": {"credentials": "access_token", "access_token": token}}
    assert handed == [written]


@pytest.mark.parametrize("value", ODD)
def test_other_credentials_survive_a_migration(
    connector: Connector, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    """The other credentials don't change either."""
    credentials = dict.fromkeys(SECRET_NAMES, value)
    written, _ = migrate(connector, capsys, {"credentials": credentials, "email": "x'y\"z@b.example"})
    assert written == {
        "credentials": {**credentials, "credentials": "oauth2.0"},
        "contact_emails": ["x'y\"z@b.example"],
    }


def test_old_config_can_read(drift: Drift, connector: Connector) -> None:
    """A sync with a 0.2.x config sends its token, and emits the migrated config once."""
    outcome = connector.read("users", config={"access_token": TOKEN})
    assert outcome.status("users") == "COMPLETE", outcome.summary
    assert [request.headers["Authorization"] for request in drift.requests] == [f"Bearer {TOKEN}"]


@pytest.mark.parametrize("given", [{}, {"start_date": "2024-01-31T00:00:00Z"}], ids=str)
def test_config_without_credentials_is_refused(connector: Connector, given: dict[str, Any], drift: Drift) -> None:
    """Without credentials, the error says what is missing, and no request is sent."""
    outcome = connector.read("users", config=given)
    assert (outcome.records("users"), drift.requests) == ([], [])
    assert "'credentials' is a required property" in str(outcome.output.errors[-1].trace.error.message)


def test_other_host_is_used_everywhere(drift: Drift, connector: Connector) -> None:
    """Lists, token_info and the refresh use the hidden host."""
    given = {"credentials": without(OLD_OAUTH, "access_token"), "api_url": "https://drift-proxy.example"}
    connector.read("users", "token_info", config=given)
    assert drift.requests == []
    assert {requests.utils.urlparse(request.url).netloc for request in drift.foreign} == {"drift-proxy.example"}


# OAuth consent, which the platform runs


def templates(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from re.findall(r"{{ *(\w+) *}}", value)
    for inner in value.values() if isinstance(value, dict) else []:
        yield from templates(inner)


def test_advanced_auth_belongs_to_the_oauth_option(spec: dict[str, Any], branches: list[dict[str, Any]]) -> None:
    """The consent button appears if OAuth is selected."""
    auth = spec["advanced_auth"]
    assert (auth["auth_flow_type"], auth["predicate_key"]) == ("oauth2.0", ["credentials", "credentials"])
    assert auth["predicate_value"] == branches[0]["properties"]["credentials"]["const"]


def test_advanced_auth_uses_drifts_endpoints(spec: dict[str, Any]) -> None:
    """The consent page and the code exchange are Drift's, form-encoded and without a scope parameter."""
    asked = spec["advanced_auth"]["oauth_config_specification"]["oauth_connector_input_specification"]
    assert asked["consent_url"].startswith("https://dev.drift.com/authorize?response_type=code&")
    assert set(templates(asked["consent_url"])) == {"client_id_param", "redirect_uri_param", "state_param"}
    assert asked["access_token_url"] == "https://driftapi.com/oauth2/token"
    assert asked["access_token_headers"] == {"Content-Type": "application/x-www-form-urlencoded"}
    assert set(asked["access_token_params"]) == {"client_id", "client_secret", "code", "grant_type"}
    assert asked["access_token_params"]["grant_type"] == "authorization_code"
    assert set(templates(asked["access_token_params"])) == {"client_id_value", "client_secret_value", "auth_code_value"}
    assert asked["extract_output"] == ["access_token", "refresh_token"]
    assert not {"scope", "scopes", "optional_scopes"} & set(asked)


def test_advanced_auth_fills_the_oauth_option(spec: dict[str, Any], branches: list[dict[str, Any]]) -> None:
    """The results of the consent and the server's values are saved where the OAuth option reads them."""
    blocks = spec["advanced_auth"]["oauth_config_specification"]
    filled = {
        name: inner["path_in_connector_config"]
        for block in ("complete_oauth_output_specification", "complete_oauth_server_output_specification")
        for name, inner in blocks[block]["properties"].items()
    }
    assert filled == {name: ["credentials", name] for name in SECRET_NAMES}
    assert set(blocks["complete_oauth_server_input_specification"]["properties"]) == {"client_id", "client_secret"}
    assert set(filled) <= set(branches[0]["properties"])
    assert set(branches[0]["required"]) - {"credentials"} <= set(filled)
