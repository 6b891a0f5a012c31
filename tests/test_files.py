"""What is written aside stands whole under its name, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from models_ml.files import files_aside, point_link, read_only_folder_aside, write_bytes, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.html"
    write_text(path, "é")
    write_bytes(path, b"second")
    assert path.read_bytes() == b"second"
    assert names(path.parent) == ["page.html"]


def test_a_failed_switch_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.html"
    write_text(path, "first")

    def full_disk(self: Path, target: Path) -> Path:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_text(path, "second")
    assert path.read_text() == "first"
    assert names(tmp_path) == ["page.html"]


def test_files_arrive_in_order_and_the_record_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, to: (order.append(Path(to).name), replace(self, to))[1])
    with files_aside(tmp_path / "out", last="a.json") as aside:
        for name in ("c.pkl", "a.json", "b.pkl"):
            (aside / name).write_text(name)
        assert names(tmp_path / "out") == [aside.name]
    assert order == ["b.pkl", "c.pkl", "a.json"]
    assert names(tmp_path / "out") == ["a.json", "b.pkl", "c.pkl"]


def test_a_folder_appears_whole_and_read_only(tmp_path: Path) -> None:
    with read_only_folder_aside(tmp_path / "runs" / "one") as aside:
        (aside / "below").mkdir()
        (aside / "below" / "file").write_text("whole")
        assert names(tmp_path / "runs") == [aside.name]
    assert names(tmp_path / "runs") == ["one"]
    file = tmp_path / "runs" / "one" / "below" / "file"
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("whole", 0o444)
    with pytest.raises(OSError, match="not empty"), read_only_folder_aside(tmp_path / "runs" / "one"):
        pass
    assert names(tmp_path / "runs") == ["one"]


def test_a_link_changes_at_once_and_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    for run in ("one", "two"):
        (tmp_path / "runs" / run).mkdir(parents=True)
        point_link(tmp_path / "current", tmp_path / "runs" / run)
        assert (tmp_path / "current").readlink() == Path("runs") / run
    assert names(tmp_path) == ["current", "runs"]
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        point_link(tmp_path / "folder", tmp_path / "runs" / "one")
    assert names(tmp_path) == ["current", "folder", "runs"]


def write_then_fail(path: Path) -> None:
    path.write_text("second")
    raise RuntimeError("the writer fails")


def test_a_failed_block_changes_nothing(tmp_path: Path) -> None:
    write_text(tmp_path / "kept", "first")
    with pytest.raises(RuntimeError), files_aside(tmp_path) as aside:
        write_then_fail(aside / "kept")
    assert (tmp_path / "kept").read_text() == "first"
    assert names(tmp_path) == ["kept"]
