"""The user's config: errors without its content, and a new one saved without losing the old one's permissions."""

import json
import os
import stat
from pathlib import Path

import pytest

from source_drift.archive.errors import ArchiveError
from source_drift.archive.settings import Settings, load, save

OLD, NEW = {"refresh_token": "old"}, {"refresh_token": "new", "name": "ü"}


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _file(path: Path, mode: int = 0o640) -> Path:
    path.write_text(json.dumps(OLD))
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"access_token": "s3cret",', "is not valid JSON"),
        (b'["s3cret"]', "must contain one JSON object"),
        (b"", "is not valid JSON"),
        (b'{"access_token": "s3cret\xff"}', "is not UTF-8 text"),
    ],
)
def test_a_bad_config_is_one_line_without_its_content(tmp_path: Path, content: bytes, message: str) -> None:
    """What is wrong is said, the token that may stand there is not."""
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=message) as caught:
        load(path)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    """The path that was given stands in the message."""
    with pytest.raises(ArchiveError, match=r"nowhere\.json cannot be read: No such file"):
        load(tmp_path / "nowhere.json")


def test_a_config_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    """Windows editors write one."""
    path = tmp_path / "config.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert load(path) == {"a": 1}


@pytest.mark.parametrize(("mode", "kept"), [(0o600, 0o600), (0o640, 0o600), (0o604, 0o600), (0o400, 0o400)])
def test_a_saved_config_is_private(tmp_path: Path, mode: int, kept: int) -> None:
    """Nobody but its owner can read the new token, whoever could read the old one."""
    path = _file(tmp_path / "config.json", mode)
    save(path, NEW)
    assert (load(path), _mode(path)) == (NEW, kept)
    assert os.listdir(tmp_path) == ["config.json"]


def test_saving_keeps_a_link(tmp_path: Path) -> None:
    """The file behind the link changes, the link stays one."""
    target, link = _file(tmp_path / "target.json"), tmp_path / "link.json"
    link.symlink_to(target)
    save(link, NEW)
    assert link.is_symlink()
    assert load(target) == NEW


def test_saving_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash before the exchange leaves the old file whole, and no other one."""
    path = _file(tmp_path / "config.json")

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", crash)
    with pytest.raises(KeyboardInterrupt):
        save(path, NEW)
    assert load(path) == OLD
    assert os.listdir(tmp_path) == ["config.json"]


def test_a_file_that_cannot_be_exchanged_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A single file mounted into a container keeps its inode; a shorter config leaves no rest of the longer one."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"refresh_token": "old" * 100}))
    inode = path.stat().st_ino

    def busy(*_: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr("os.replace", busy)
    save(path, NEW)
    assert load(path) == NEW
    assert path.stat().st_ino == inode


def test_a_handed_back_config_is_saved_and_told_once(tmp_path: Path) -> None:
    """The next process of the connector and the user's file both have it; the same config again is no news."""
    origin = _file(tmp_path / "config.json")
    used = Settings(OLD, tmp_path / "copy.json", origin=origin, rescue=tmp_path / "rescue.json")
    notice = used.update(NEW)
    assert notice is not None
    assert f"saved in {origin}" in notice
    assert "new" not in notice.replace("new config", "").replace("renewed", "").replace("new form", "")
    assert load(origin) == load(used.path) == NEW
    assert used.update(NEW) is None


def test_the_copy_for_the_connector_is_private(tmp_path: Path) -> None:
    """Nobody else can read the token while the connector runs, before and after a change."""
    origin = _file(tmp_path / "config.json")
    used = Settings(OLD, tmp_path / "copy.json", origin=origin, rescue=tmp_path / "rescue.json")
    assert _mode(used.path) == 0o600
    used.update(NEW)
    assert (_mode(used.path), load(used.path)) == (0o600, NEW)


def test_a_config_that_cannot_be_saved_is_rescued(tmp_path: Path) -> None:
    """A rotated refresh token is the only one left: it goes to another file, private, which the user is told."""
    rescue = tmp_path / "rescue.json"
    used = Settings(OLD, tmp_path / "copy.json", origin=tmp_path / "gone" / "config.json", rescue=rescue)
    notice = used.update(NEW)
    assert notice is not None
    assert str(rescue) in notice
    assert (load(rescue), _mode(rescue)) == (NEW, 0o600)


def test_a_config_that_can_be_saved_nowhere_is_an_error(tmp_path: Path) -> None:
    """The user learns that the app may have to be authorized again."""
    gone = tmp_path / "gone"
    used = Settings(OLD, tmp_path / "copy.json", origin=gone / "config.json", rescue=gone / "rescue.json")
    with pytest.raises(ArchiveError, match="authorize the app again"):
        used.update(NEW)


def test_every_secret_that_was_ever_there_is_known(tmp_path: Path) -> None:
    """Of the first config and of each later one, however deep; names of choices and addresses are none."""
    first = {"credentials": {"credentials": "oauth2.0", "client_secret": "a", "refresh_token": "b"}, "api_url": "u"}
    origin = _file(tmp_path / "config.json")
    used = Settings(first, tmp_path / "copy.json", origin=origin, rescue=tmp_path / "rescue.json")
    used.update({"credentials": {"client_id": "i", "access_token": "c"}})
    assert used.secrets == {"a", "b", "c", "i"}


@pytest.mark.parametrize("own", [{}, {"start_date": "2020-01-01T00:00:00Z"}], ids=["none", "another"])
def test_a_start_date_of_the_command_stays_out_of_the_file(tmp_path: Path, own: dict[str, str]) -> None:
    """The connector reads from it, also after a rotation; the user's file keeps its own."""
    origin, date = _file(tmp_path / "config.json"), "2026-01-31T00:00:00Z"
    used = Settings(OLD | own, tmp_path / "copy.json", origin=origin, rescue=tmp_path / "rescue.json", start_date=date)
    assert load(used.path) == OLD | {"start_date": date}
    assert used.update(OLD | {"start_date": date}) is None
    assert used.update(NEW | {"start_date": date}) is not None
    assert load(used.path) == NEW | {"start_date": date}
    assert load(origin) == NEW | own
