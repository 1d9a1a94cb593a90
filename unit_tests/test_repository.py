"""Nothing in the repository depends on one machine, says how or by whom it was made, or looks like a credential."""

import ast
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FORBIDDEN_FILES = ("uv.lock", "poetry.lock")
# Each package with the folder that contains it.
PACKAGES = (("", "sandbox"), ("", "source_drift"), ("", "tools"), ("destination-drift", "destination_drift"))

# Written in parts, here and in the examples below, so that this file passes its own rules.
REGISTRIES = "|".join(
    re.escape("".join(host))
    for host in (
        *(("py", "pi.org"), ("python", "hosted.org"), ("npm", "js.org"), ("yarn", "pkg.com"), ("crates", ".io")),
        *(("ruby", "gems.org"), ("deb.", "debian.org"), ("proxy.", "golang.org"), ("conda.", "anaconda.org")),
    )
)
REGISTRY = re.compile(rf"\b(?:{REGISTRIES})\b")
MACHINE_PATH = re.compile(
    r"(?<![\w.~-])(?:/(?:root|work|(?:home|Users)/[\w.-]+|var/folders|mnt/[a-z]|private/tmp)(?:/|\b)|[A-Z]:\\Users\\)"
)
# `agent` alone is a term of Drift's.
ORIGIN = re.compile(
    "|".join(
        (
            r"\.\./" + "shared",
            r"\b(?:another|other|the|a) help" + r"ers?\b",
            r"\b(?:sub|AI|LLM|coding|autonomous)[ -]?" + r"agents?\b",
            r"\b(?:AI|LLM|machine)[ -](?:assisted|generated|written)\b",
            r"\b(?:Cla" + "ude|Anth" + "ropic|Chat" + "GPT|Open" + r"AI|Copi" + r"lot)\b",
            r"\blanguage " + r"model\b",
            r"\b(?:Co-authored|Signed-off|Generated)-" + r"by\b",
            r"\b(?:TODO|FIXME|XXX)" + r"\(\w+\)",
        )
    ),
    re.IGNORECASE,
)
# A digest is not one of the secrets below.
DIGEST = re.compile(r"\bsha256:[0-9a-f]{64}\b")
HEX = re.compile(r"(?<![\w-])[0-9a-fA-F]{32,}(?![\w-])")
JWT = re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}")
KNOWN_TOKEN = re.compile(
    r"\b(?:gh[opsur]_\w{20,}|github_pat_\w{20,}|xox[abeprs]-[\w-]{10,}|xapp-[\w-]{10,}|A[KS]IA[A-Z0-9]{16}"
    r"|[rs]k[-_]live[-_]\w{10,}|AIza[\w-]{35}|npm_\w{30,}|glpat-[\w-]{20,})|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
# Placeholders in tests contain words that show that they are not real.
BEARER = re.compile(r"\bBearer\s+((?!made-up-|\w*[.-]?token[-.])[\w.~+/-]{20,}=*)")
RUN = re.compile(r"(?<![\w+-])[\w+-]{32,}={0,2}(?![\w+-])", re.ASCII)
# Text before @ in a URL is not a mailbox.
USER_INFO = re.compile(r"//[^\s/@]+@")
# A match starts at the start of a word, because long words would otherwise be slow.
EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@(?:[\w-]+\.)+[a-zA-Z]{2,}\b")
# Reserved by RFC 2606, and the one placeholder that published 0.4.x saved in configs.
EMAIL_ALLOWED = re.compile(r".*@(?:.*\.)?(?:example\.(?:com|org|net)|test|example|invalid)|test@test\.com")
PHONE = re.compile(r"(?<![\w.+-])(?:\+\d[\d ().-]{7,}\d|\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4})(?![\w.-]*\w)")
IP = re.compile(r"(?:(?<=//)|(?<!==)(?<![\w./-]))(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
# At least two colons with digits in between, so that times and slices don't match.
IPV6 = re.compile(r"(?<![\w:.])(?:[0-9a-fA-F]{1,4}:){2,7}:?(?:[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4})*)?(?![\w:])")
# Documentation addresses (RFC 5737, 3849), this machine, and "any address".
IP_ALLOWED = [
    ip_network(network)
    for network in ("127.0.0.0/8", "0.0.0.0/32", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
] + [ip_network(network) for network in ("::/127", "2001:db8::/32")]
# The targets of hostile links in tests: a private network, and the metadata service of clouds.
IP_TARGETS = ("10.0.0.1", "169.254.169.254")


def findings(name: str, text: str) -> Iterator[str]:
    """Yield what a file must not contain, as `kind: the text found`."""
    text = DIGEST.sub("", text)
    rules = {
        "registry": REGISTRY,
        "machine path": MACHINE_PATH,
        "origin": ORIGIN,
        "hex": HEX,
        "JWT": JWT,
        "known token": KNOWN_TOKEN,
        "bearer": BEARER,
    }
    for kind, pattern in rules.items():
        yield from (f"{kind}: {found}" for found in pattern.findall(text))
    yield from (f"token: {found}" for found in RUN.findall(text) if _random(found))
    yield from (
        f"email: {found}" for found in EMAIL.findall(USER_INFO.sub("//", text)) if not EMAIL_ALLOWED.fullmatch(found)
    )
    if not name.endswith(".svg"):  # its paths consist of numbers
        yield from (f"phone: {found}" for found in PHONE.findall(text) if not _fictitious(found))
    yield from (f"IP: {found}" for found in [*IP.findall(text), *IPV6.findall(text)] if _of_somebody(found))


def _random(run: str) -> bool:
    """Names rarely contain digits and mixed-case letters; 256 random bits contain many of both."""
    kinds = (re.findall(kind, run) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    return all(len(found) >= 3 for found in kinds)


def _fictitious(phone: str) -> bool:
    """555-0100 to 555-0199 are reserved for fiction; code may add the last digits."""
    return re.search(r"55501\d{0,2}$", re.sub(r"\D", "", phone)) is not None


def _of_somebody(address: str) -> bool:
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:
        return False
    return address not in IP_TARGETS and not any(parsed in network for network in IP_ALLOWED)


def files() -> list[Path]:
    """Every file of the repository that is committed or about to be."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, or no git")
    listed = subprocess.run(
        [git, "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [path for name in sorted(set(listed.split("\0"))) if (path := ROOT / name).is_file()]


def versions(root: Path) -> dict[str, str | None]:
    """The version in each file under `root` that exists; None if it has none."""
    found: dict[str, str | None] = {}
    if (path := root / "pyproject.toml").exists():
        found[path.name] = tomllib.loads(path.read_text())["project"]["version"]
    if (path := root / "metadata.yaml").exists():
        found[path.name] = yaml.safe_load(path.read_text())["data"]["dockerImageTag"]
    if (path := root / "CHANGELOG.md").exists():
        newest = re.search(r"\b\d+\.\d+\.\d+\b", path.read_text())
        found[path.name] = newest and newest[0]
    return found


def imports(root: Path) -> dict[str, set[str]]:
    """The modules of the packages under `root`, with their imports."""
    modules = {}
    for parent, package in PACKAGES:
        for path in (root / parent / package).rglob("*.py"):
            name = ".".join(path.relative_to(root / parent).with_suffix("").parts).removesuffix(".__init__")
            modules[name] = path
    found = {}
    for name, path in modules.items():
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        named = {(node.module or "", alias.name) for node in nodes for alias in node.names}
        found[name] = {f"{module}.{part}" if f"{module}.{part}" in modules else module for module, part in named} - {
            name
        }
    return found


def test_there_are_no_circular_imports() -> None:
    """A module never imports itself indirectly, not even for its types."""
    TopologicalSorter(imports(ROOT)).prepare()


def test_a_circular_import_is_found(tmp_path: Path) -> None:
    """Two modules that import each other are reported."""
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox" / "a.py").write_text("from sandbox import b")
    (tmp_path / "sandbox" / "b.py").write_text("if TYPE_CHECKING:\n    from sandbox.a import A")
    with pytest.raises(CycleError, match=r"sandbox\.a"):
        TopologicalSorter(imports(tmp_path)).prepare()


def test_the_repository_is_clean() -> None:
    """No file contains a registry, a machine, a person, or a possible credential."""
    found = []
    for path in files():
        content = path.read_bytes()
        if b"\0" not in content:
            name = str(path.relative_to(ROOT))
            found += [f"{name}: {finding}" for finding in findings(name, content.decode())]
    assert found == []


def test_no_lock_file_has_urls() -> None:
    """The repository has no lock file with the URLs of packages; requirements.lock has none."""
    assert [path.name for path in files() if path.name in FORBIDDEN_FILES] == []
    options = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line.startswith("-")]
    assert options == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        pytest.param("registry", "--index" + "-url https://py" + "pi.org/simple", id="index"),
        pytest.param("registry", "https://files.python" + "hosted.org/x.whl", id="file of the index"),
        pytest.param("machine path", "see /ro" + "ot/.venv", id="root"),
        pytest.param("machine path", "path = '/ho" + "me/ada/drift'", id="home"),
        pytest.param("machine path", "file:///wo" + "rk/main", id="file URL"),
        pytest.param("machine path", "C:\\Us" + "ers\\ada", id="Windows"),
        pytest.param("registry", "https://deb." + "debian.org/debian", id="Debian"),
        pytest.param("origin", "see .." + "/shared/notes.md", id="folder beside the repository"),
        pytest.param("origin", "written by a sub" + "-agent", id="who"),
        pytest.param("origin", "another help" + "er edits this", id="who else"),
        pytest.param("origin", "Co-authored" + "-by: Ada", id="trailer"),
        pytest.param("origin", "# TODO" + "(ada): later", id="person"),
        pytest.param("hex", "token = '" + "0123456789abcdef" * 2 + "'", id="hex"),
        pytest.param("JWT", "eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJ" + "zdWIiOiIxMjM0In0.c2ln", id="JWT"),
        pytest.param("known token", "gh" + "p_" + "a1" * 18, id="GitHub"),
        pytest.param("known token", "github" + "_pat_" + "a1" * 11, id="GitHub, fine-grained"),
        pytest.param("known token", "xo" + "xb-1234567890-abc", id="Slack"),
        pytest.param("known token", "AK" + "IA" + "ABCDEFGH12345678", id="AWS"),
        pytest.param("known token", "-----BEGIN " + "RSA PRIVATE KEY-----", id="private key"),
        pytest.param("bearer", "Authorization: Bear" + "er abcdefghijklmnopqrst", id="bearer"),
        pytest.param("token", "Bearer " + "aB3dE6gH9" * 5, id="base64"),
        pytest.param("email", "ada" + "@drift.com", id="email"),
        pytest.param("email", "ada" + "@example.com.evil.io", id="email of a host that looks allowed"),
        pytest.param("phone", "+1 617" + " 867 5309", id="phone"),
        pytest.param("phone", "(617)" + " 867-5309", id="phone without a country"),
        pytest.param("phone", "+49 30" + " 1234567", id="phone of another country"),
        pytest.param("IP", "connect to 8.8" + ".8.8", id="IP"),
        pytest.param("IP", "https://1.1" + ".1.1/dns", id="IP in a URL"),
        pytest.param("IP", "192.168" + ".1.7", id="IP of a private network"),
        pytest.param("IP", "https://[2606:4700" + ":4700::1111]/", id="IPv6"),
    ],
)
def test_a_rule_finds_its_example(kind: str, text: str) -> None:
    """Each rule finds a planted example."""
    assert [found for found in findings("notes.md", text) if found.startswith(f"{kind}: ")], list(
        findings("notes.md", text)
    )


@pytest.mark.parametrize(
    "text",
    [
        "uv==0.13.8 --hash=sha256:" + "0123456789abcdef" * 4,
        "docker.io/airbyte/source-declarative-manifest:7.39.1@sha256:" + "0123456789abcdef" * 4,
        "445831eb-78db-4b1f-8f1f-0d96ad8739e2",
        "Mozilla/5.0 (X11; Linux x86_64) Chrome/126.0.0.0 Safari/537.36",
        "types-jsonschema==4.26.0.20261006, 1.2.3.4.5",
        "127.0.0.1 0.0.0.0 127.8.9.10 192.0.2.1 198.51.100.7 http://203.0.113.9:80",
        "[::1] [2001:db8::1] 12:30:45 a[1:2:3] std::abs 00:00:00",
        "Authorization: Bearer {token} and Bearer <your access token>",
        "Which agent answered, agents per team, User-Agent, TODO, numAgentMessages",
        "ada@example.com, ada@mail.example.org, ada@drift.test, test@test.com, @pytest.fixture",
        "+1-202-555-0143 and +1 (202) 555-01{index:02}",
        "1700000000000 2014-01-01T00:00:00+00:00 epoch+1700000000000",
        "test_the_connector_reads_every_conversation_once_and_in_order_2",
        "https://driftapi.com@elsewhere.org/ https://pass:word@drift.com",
        "https://docs.example.com/home/drift and $HOME/work/drift and ./ro" + "ot/x",
    ],
)
def test_a_rule_ignores_harmless_text(text: str) -> None:
    """Digests, versions, reserved addresses and plain names are not mistaken for secrets."""
    assert list(findings("notes.md", text)) == []


def test_versions_agree() -> None:
    """pyproject.toml, metadata.yaml and the newest entry of CHANGELOG.md have the same version."""
    assert len(set(versions(ROOT).values())) == 1, versions(ROOT)


def test_different_versions_are_found(tmp_path: Path) -> None:
    """A different version in any of the three files is found."""
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.0.0"\n')
    (tmp_path / "metadata.yaml").write_text("data: {dockerImageTag: 1.0.1}\n")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.0.2\n\n## 1.0.0\n")
    assert versions(tmp_path) == {"pyproject.toml": "1.0.0", "metadata.yaml": "1.0.1", "CHANGELOG.md": "1.0.2"}


def test_the_lock_has_every_dependency() -> None:
    """A dependency in pyproject.toml that is missing from the lock is found, and the lock also has uv."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"].values()
    wanted = [
        *project["project"]["dependencies"],
        *(item for group in groups for item in group if isinstance(item, str)),
        *(item for extra in project["project"]["optional-dependencies"].values() for item in extra),
    ]
    names = {re.match(r"[\w.-]+", requirement)[0] for requirement in wanted}
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert names - locked == set()
    assert "uv" in locked
