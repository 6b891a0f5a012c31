"""What is written aside stands whole under its name, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from models_ml.files import files_aside, write_bytes, write_text


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
    with files_aside(tmp_path / "out", last="a.json", read_only=True) as aside:
        for name in ("c.pkl", "a.json", "b.pkl"):
            (aside / name).write_text(name)
        assert names(tmp_path / "out") == [aside.name]
    assert order == ["b.pkl", "c.pkl", "a.json"]
    assert names(tmp_path / "out") == ["a.json", "b.pkl", "c.pkl"]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o444}


def write_then_fail(path: Path) -> None:
    path.write_text("second")
    raise RuntimeError("the writer fails")


def test_a_failed_block_changes_nothing(tmp_path: Path) -> None:
    write_text(tmp_path / "kept", "first")
    with pytest.raises(RuntimeError), files_aside(tmp_path) as aside:
        write_then_fail(aside / "kept")
    assert (tmp_path / "kept").read_text() == "first"
    assert names(tmp_path) == ["kept"]
