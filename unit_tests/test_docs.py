"""The documentation matches the connector: streams, keys, scopes, settings, messages, versions and paths."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from airbyte_cdk.sources.declarative.parsers.manifest_reference_resolver import ManifestReferenceResolver
from airbyte_cdk.utils.yaml_loader import safe_load_yaml

ROOT = Path(__file__).parents[1]
PAPERS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "destination-drift" / "README.md",
    ROOT / "tools" / "bench" / "README.md",
]
DOCS = ROOT / "docs" / "drift.md"
MIGRATIONS = ROOT / "docs" / "drift-migrations.md"
# Airbyte's template, with two additional sections before the IP allow list.
HEADINGS = [
    "# Drift",
    "## Prerequisites",
    "## Setup guide",
    "## Set up Drift",
    "### Get an access token",
    "### Use OAuth instead",
    "## Set up the Drift connector in Airbyte",
    "### For Airbyte Cloud:",
    "### For Airbyte Open Source:",
    "### Connection test",
    "## Supported sync modes",
    "## Supported Streams",
    "## How long a first sync takes",
    "## Interrupted syncs",
    "## IP allow list",
    "### Performance considerations",
    "## Data type map",
    "## Limitations & Troubleshooting",
    "### Deleted records",
    "### Personal data",
    "### Conversations that keep failing",
    "### Error messages",
    "### Log messages",
    "### Messages from Airbyte",
    "## Changelog",
]
VERBATIM = [
    "<HideInUI>\n\nThis page contains the setup guide and reference information for the "
    "[Drift](https://devdocs.drift.com) source connector.\n\n</HideInUI>\n",
    "\n1. [Log into your Airbyte Cloud](https://cloud.airbyte.com/workspaces) account.\n",
    "\n1. Navigate to the Airbyte Open Source dashboard.\n",
    "\nThe Drift source connector supports the following "
    "[sync modes](https://docs.airbyte.com/cloud/core-concepts/#connection-sync-modes):\n",
    "\nIf you use Airbyte Cloud and your organization restricts access to specific IPs, add the [Airbyte Cloud IP "
    "addresses](https://docs.airbyte.com/platform/operating-airbyte/ip-allowlist) to your allow list.\n",
]
MANIFEST = safe_load_yaml((ROOT / "manifest.yaml").read_text(encoding="utf-8"))
STREAMS = {
    stream["name"]: stream for stream in ManifestReferenceResolver().preprocess_manifest(dict(MANIFEST))["streams"]
}
INCREMENTAL = {name for name, stream in STREAMS.items() if "incremental_sync" in stream}
CHILDREN = {name for name, stream in STREAMS.items() if "parent_stream_configs" in str(stream["retriever"])}
PUBLISHED = {"accounts", "contacts", "conversations", "messages", "users"}
FIVETRAN = {"ACCOUNT", "CONTACT", "CONVERSATION", "CONVERSATION_MESSAGE", "PLAYBOOK", "PLAYBOOK_CLP", "USERS"}
SPEC = MANIFEST["spec"]["connection_specification"]
COMPONENTS = ast.parse((ROOT / "components.py").read_text(encoding="utf-8"))
HOLE = "…"


def section(path: Path, title: str) -> str:
    """The text under a heading, including subheadings; empty if there is no such heading."""
    found = re.search(
        rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,2}} |\Z)", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return found[2] if found else ""


def table(text: str, first: str) -> list[list[str]]:
    """The rows of all tables whose first column heading is `first`, as cells."""
    rows, wanted = [], False
    for line in text.splitlines():
        if not line.startswith("|"):
            wanted = False
        elif line.startswith(f"| {first} |"):
            wanted = True
        elif wanted and not line.startswith("|---"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def explained() -> list[tuple[str, str, str]]:
    """The rows of the tables of messages and log lines; one row can explain several messages."""
    text = section(DOCS, "Limitations & Troubleshooting")
    rows = [*table(text, "Message"), *table(text, "Log line")]
    return [(message, cause, fix) for messages, cause, fix in rows for message in messages.split("<br/>")]


def stream_row(name: str) -> list[str]:
    """The row of a stream in the documentation: name, request, key, modes and scope."""
    stream = STREAMS[name]
    parameters = stream["$parameters"]
    cursor = stream.get("incremental_sync")
    scope = parameters["required_scope"]
    return [
        f"`{name}`",
        f"`{stream['retriever']['requester']['http_method']} /{parameters['endpoint']}`",
        ", ".join(f"`{field}`" for field in stream["primary_key"]),
        f"full refresh, incremental (`{cursor['cursor_field']}`)" if cursor else "full refresh",
        "any" if scope == "of any kind" else f"`{scope}`",
    ]


def flat(message: str) -> str:
    """A message with single spaces, and one hole for each inserted value."""
    message = re.sub(r"\{+[^{}]*\}+", HOLE, " ".join(message.split()))
    return re.sub(rf"{HOLE}(?: {HOLE})+", HOLE, message).strip()


def pieces(message: str) -> list[str]:
    """The text between the holes of a message, without punctuation at the ends and without single words."""
    found = (piece.strip(" .:;,()") for piece in message.split(HOLE))
    return [piece for piece in found if " " in piece]


def messages_of_the_manifest(node: Any = MANIFEST["definitions"]) -> Iterator[str]:
    """Every text of the manifest that a user can see."""
    if isinstance(node, dict):
        shown = ("error_message", "failure_message", "missing_scope", "refused_here", "refused_token")
        yield from (flat(node[key]) for key in shown if isinstance(node.get(key), str))
        for value in node.values():
            yield from messages_of_the_manifest(value)
    elif isinstance(node, list):
        for value in node:
            yield from messages_of_the_manifest(value)


def messages_of_the_components(tree: ast.Module = COMPONENTS) -> Iterator[str]:
    """Every sentence in the code except SQL, and every text about a response `with` or `without` something.

    A value is a hole, unless the same function assigned a text to it.
    """
    seen = set[ast.AST]()
    for scope in [*(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)), tree]:
        inside = [node for node in ast.walk(scope) if node not in seen]
        seen.update(inside)
        documentation = {id(node.value) for node in inside if isinstance(node, ast.Expr)}
        texts = [node for node in inside if isinstance(node, ast.JoinedStr)]
        parts = {id(part) for text in texts for part in ast.walk(text) if part is not text}
        for node in inside:
            if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in documentation | parts:
                text = flat(_text(node, inside))
                is_sentence = len(re.findall(r"\b[A-Za-z]{2,}\b", text)) > 3 and not re.match("[A-Z]{6} ", text)
                if is_sentence or re.match(r"with(out)? [a-z]|[A-Z].* .*\.$", text):
                    yield text


def _text(node: ast.AST, inside: list[ast.AST]) -> str:
    """A text as it is shown; empty if the node is not a text."""
    if not isinstance(node, ast.JoinedStr):
        return str(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    shown = []
    for part in node.values:
        name = ast.unparse(part.value) if isinstance(part, ast.FormattedValue) else ""
        before = [
            assigned.value
            for assigned in inside
            if isinstance(assigned, ast.Assign)
            and ast.unparse(assigned.targets[0]) == name
            and assigned.lineno < node.lineno
            and isinstance(assigned.value, ast.Constant | ast.JoinedStr)
        ]
        shown.append(_text(before[-1], inside) if before else _text(part, inside) or HOLE)
    return "".join(shown)


MESSAGES = sorted({*messages_of_the_manifest(), *messages_of_the_components()})


def slug(heading: str) -> str:
    """The anchor that GitHub and Docusaurus give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")


def links(path: Path) -> list[str]:
    """Every link target of a page that is not a URL, except in code."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", target)]


def anchors(path: Path) -> set[str]:
    """The anchors of the headings of a page, except in code."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def named_streams(cells: list[str]) -> set[str]:
    """The names in backticks in the given cells."""
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize("path", [ROOT / "README.md", DOCS], ids=lambda path: path.name)
def test_the_stream_table_is_the_manifest(path: Path) -> None:
    """The stream table has exactly the manifest's streams, in its order, with request, key, modes and scope."""
    assert table(path.read_text(encoding="utf-8"), "Stream") == [stream_row(name) for name in STREAMS]


def test_the_diagram_shows_every_key() -> None:
    """The diagram has each stream with its key, and no field that is missing from the schema."""
    picture = re.search(r"erDiagram\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert picture
    drawn = dict(re.findall(r"^ {4}(\w+) \{\n(.*?)^ {4}\}", picture[1], re.MULTILINE | re.DOTALL))
    assert set(drawn) == set(STREAMS)
    for name, body in drawn.items():
        fields = re.findall(r"^ +(\w+) (\w+)( PK)?", body, re.MULTILINE)
        declared = STREAMS[name]["schema_loader"]["schema"]["properties"]
        assert [field for _, field, key in fields if key] == STREAMS[name]["primary_key"], (name, fields)
        for kind, field, _ in fields:
            assert kind in declared.get(field, {}).get("type", []), (name, field, kind)


def test_every_stream_is_in_the_incremental_table() -> None:
    """AGENTS.md has the cursor of each stream, or says that it has none."""
    shown = {
        row[0].strip("`"): row[1].strip("`") for row in table(section(ROOT / "AGENTS.md", "Incremental"), "Stream")
    }
    cursors = {name: re.search(r"\(`(\w+)`\)", stream_row(name)[3]) for name in STREAMS}
    assert shown == {name: cursor[1] if cursor else "–" for name, cursor in cursors.items()}


def test_the_sync_modes_are_those_of_the_manifest() -> None:
    """The table of sync modes has exactly the incremental streams."""
    rows = {row[0]: row[1] for row in table(section(DOCS, "Supported sync modes"), "Mode")}
    assert named_streams([rows["Incremental, append or append + deduped"]]) == INCREMENTAL, rows


def test_every_stream_is_described() -> None:
    """The list under the stream table describes each stream once."""
    described = re.findall(r"^- \*\*(\w+)\*\*: ", section(DOCS, "Supported Streams"), re.MULTILINE)
    assert described == list(STREAMS)


def test_deletions_are_documented_for_every_stream() -> None:
    """One table says for each stream what happens to rows that are deleted in Drift."""
    rows = table(section(DOCS, "Limitations & Troubleshooting"), "Deleted rows of")
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row[0])) == sorted(STREAMS)
    assert all(len(row) == 3 and all(row) for row in rows), rows


def test_the_start_date_is_documented_for_every_stream() -> None:
    """The start date table has each stream once, and says for exactly the right ones that it limits them."""
    rows = table(section(DOCS, "Supported sync modes"), "Streams")
    told = {name: row[1] for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert sum(len(re.findall(r"`(\w+)`", row[0])) for row in rows) == len(told)
    limited = {name for name, stream in STREAMS.items() if re.search(r"\bstart_date\b", str(stream))}
    assert set(told) == set(STREAMS)
    assert {name for name, text in told.items() if text != "nothing"} == limited
    assert limited > CHILDREN


def test_scopes_are_documented_with_their_streams() -> None:
    """The scope table has the streams of each scope as in the manifest."""
    rows = table(section(DOCS, "Prerequisites"), "Scope")
    wanted: dict[str, set[str]] = {}
    for name, stream in STREAMS.items():
        wanted.setdefault(stream["$parameters"]["required_scope"], set()).add(name)
    wanted.pop("of any kind")
    assert {row[0].strip("`"): named_streams([row[1]]) for row in rows} == wanted


def test_the_figures_are_those_of_the_manifest() -> None:
    """Page sizes, windows and limits in the user documentation are those of the manifest."""
    text = " ".join(DOCS.read_text(encoding="utf-8").split())
    first = {name: dict(parse_qsl(STREAMS[name]["$parameters"].get("first", ""))) for name in STREAMS}
    expected = f"A page holds {first['conversations']['limit']} conversations or {first['accounts']['size']} accounts"
    assert expected in text
    reports = MANIFEST["api_budget"]["policies"][0]["rates"][1]
    assert reports["interval"] == "PT1M"
    assert f"at most {reports['limit']} reports a minute" in text
    days = {name: STREAMS[name]["incremental_sync"]["step"][1:-1] for name in ("conversation_metrics", "meetings")}
    assert f"`conversation_metrics` are read in windows of {days['conversation_metrics']} days" in text
    assert f"`meetings` in windows of {days['meetings']} days" in text
    assert f"1 for each {days['conversation_metrics']} days since 2014" in text
    cursor = STREAMS["meetings"]["incremental_sync"]
    back, ahead = (re.search(r"(\d+) \* 86400", cursor[end]["datetime"]) for end in ("start_datetime", "end_datetime"))
    assert back
    assert ahead
    meetings = f"from {back[1]} days back (less an hour) to {ahead[1]} days ahead"
    assert meetings in " ".join(section(DOCS, "Supported sync modes").split())


def test_the_page_has_the_sections_of_a_source() -> None:
    """The user documentation has Airbyte's sections in Airbyte's order, and the sentences that its checks require."""
    text = DOCS.read_text(encoding="utf-8")
    assert re.findall(r"^#+ .+$", text, re.MULTILINE) == HEADINGS
    assert [sentence for sentence in VERBATIM if text.count(sentence) != 1] == []


def test_prerequisites_name_every_setting() -> None:
    """Prerequisites lists each visible setting with title and name, and no hidden one."""
    text = section(DOCS, "Prerequisites")
    branches = SPEC["properties"]["credentials"]["oneOf"]
    wanted = {name: SPEC["properties"][name] for name in SPEC["properties"]}
    for branch in branches:
        wanted |= {name: branch["properties"][name] for name in branch["required"] if name != "credentials"}
        assert f"**{branch['title']}**" in text, branch["title"]
    for name, field in wanted.items():
        assert (f"(`{name}`)" in text) != field.get("airbyte_hidden", False), name
        assert field.get("airbyte_hidden") or field["title"].lower() in text.lower(), (name, field["title"])


def test_prerequisites_have_the_range_of_the_rate() -> None:
    """The default and the limits of the requests per second are those of the spec."""
    rate = SPEC["properties"]["max_requests_per_second"]
    expected = f"{rate['minimum']} to {rate['maximum']}, by default {rate['default']}."
    assert expected in section(DOCS, "Prerequisites"), expected


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_is_explained(message: str) -> None:
    """Each message of manifest and components is in a table of messages or log lines, word for word."""
    page = " ".join(cell for row in explained() for cell in row[:2])
    assert [piece for piece in pieces(message) if piece not in page] == [], message


def test_every_explained_message_exists() -> None:
    """The tables have only messages that exist, each one once, with a cause and a fix."""
    rows = explained()
    sentences = [sentence for message, _, _ in rows for sentence in re.split(r"(?<=[.;]) ", message)]
    unknown = [
        sentence
        for sentence in sentences
        if not any(all(piece in shown for piece in pieces(sentence)) for shown in MESSAGES)
    ]
    assert unknown == []
    assert len({message for message, _, _ in rows}) == len(rows)
    assert [row for row in rows if not all(row)] == []


def test_messages_are_found() -> None:
    """The search finds strings, f-strings, nested strings and constants, but no docstrings or names."""
    tree = ast.parse(
        """
END = "It ends here at last."
def one(x):
    "This is a documentation string."
    raise failure("Plain words of an error.")
def two(x):
    message = f"It is {x} that goes wrong; if this"
    raise failure(f"{message} lasts, ask {x} {x}.")
class Three:
    text = "What a class has to say."
    def three(self, x):
        raise ValueError(f"without records at {x.get('the place that is a value')}")
"""
    )
    assert set(messages_of_the_components(tree)) == {
        "It ends here at last.",
        "Plain words of an error.",
        f"It is {HOLE} that goes wrong; if this",
        f"It is {HOLE} that goes wrong; if this lasts, ask {HOLE}.",
        "What a class has to say.",
        f"without records at {HOLE}",
    }


def test_migration_page_has_a_section_for_each_breaking_version() -> None:
    """Each breaking change in metadata.yaml has a section, with a row for each affected stream."""
    releases = safe_load_yaml((ROOT / "metadata.yaml").read_text(encoding="utf-8"))["data"]["releases"]
    for version, change in releases["breakingChanges"].items():
        text = section(MIGRATIONS, f"Upgrading to {version}")
        assert text, version
        rows = table(text, "Stream")
        assert set(change["scopedImpact"][0]["impactedScopes"]) <= named_streams([row[0] for row in rows]), rows


def test_every_stream_is_in_the_migration_table() -> None:
    """The migration page has each stream: those of 0.4.x with their old behavior, the others with a dash."""
    rows = table(section(MIGRATIONS, "Upgrading to 1.0.0"), "Stream")
    before = {name for row in rows if row[1] != "–" for name in named_streams([row[0]])}
    new = {name for row in rows if row[1] == "–" for name in named_streams([row[0]])}
    assert before == PUBLISHED
    assert new == set(STREAMS) - PUBLISHED


def test_every_stream_is_in_the_parity_table() -> None:
    """Covered rows name existing streams, and every row has one of four verdicts."""
    rows = table(section(ROOT / "AGENTS.md", "Parity"), "Other source")
    assert {row[2].split(":")[0].split(",")[0] for row in rows} == {"covered", "as a field", "missing", "out of scope"}
    streams = set().union(*(named_streams([row[2]]) for row in rows if row[2].startswith("covered")))
    assert streams <= set(STREAMS), streams - set(STREAMS)
    assert streams >= PUBLISHED
    tables = {re.split("[ ,]", row[1])[0]: row[2] for row in rows if row[0] == "Fivetran"}
    assert set(tables) == FIVETRAN, tables


def test_commands_exist() -> None:
    """Every `make` command in the documentation is a target of the Makefile."""
    targets = set(re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    shown = {
        word
        for path in PAPERS
        for words in re.findall(
            r"(?:^|`)make((?: [a-z][a-z.0-9-]*)+)(?=`|$| [A-Z#]+| +#)", path.read_text(encoding="utf-8"), re.MULTILINE
        )
        for word in words.split()
    }
    assert {"demo", "test", "serve"} <= shown, shown
    assert shown - targets == set()


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.name)
def test_links_resolve(path: Path) -> None:
    """Every relative link leads to a file or folder of the repository, and every anchor to a heading."""
    broken = []
    for link in links(path):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or not target.is_relative_to(ROOT) or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_package_description_names_existing_streams() -> None:
    """The streams in the description of the package are streams of the manifest."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    promised = re.search(r"a complete copy of ([\w, ]+)\.$", project["description"])
    assert promised, project["description"]
    assert set(re.split(r", | and ", promised[1])) <= set(STREAMS), promised[1]


def test_every_behavior_says_why() -> None:
    """The behaviors in AGENTS.md are numbered in order, and each says why it matters."""
    text = (ROOT / "AGENTS.md").read_text(encoding="utf-8")
    behaviors = re.findall(r"^## (\d+\. [^\n]+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert [title.split(".")[0] for title, _ in behaviors] == [str(number) for number in range(1, len(behaviors) + 1)]
    assert [title for title, body in behaviors if body.count("**Why this matters:**") != 1] == []


def test_scopes_of_the_set_up_steps() -> None:
    """The README lists exactly the scopes of the streams, and no write scope."""
    scopes = {stream["$parameters"]["required_scope"] for stream in STREAMS.values()} - {"of any kind"}
    text = section(ROOT / "README.md", "Get an access token")
    assert set(re.findall(r"`(\w+_(?:read|write))`", text)) == scopes, text
