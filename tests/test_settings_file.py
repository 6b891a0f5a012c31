"""Settings files are read strictly: unknown names, missing ones and other types are named with file and key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from pydantic import PositiveFloat
from pydantic.dataclasses import dataclass

from models_ml.decisions.settings import load_settings as load_decisions
from models_ml.effects.effect_settings import load_settings as load_effects
from models_ml.errors import BayesPilotError
from models_ml.monitoring.settings import load_monitoring_settings
from models_ml.settings_file import STRICT, check_settings, read_toml
from models_ml.training.settings import load_settings as load_training
from models_ml.uplift.settings import load_settings as load_uplift

LOADERS: dict[str, Callable[[Path], Any]] = {
    "models_ml/decisions/settings.toml": load_decisions,
    "models_ml/effects/effect_settings.toml": load_effects,
    "models_ml/monitoring/settings.toml": load_monitoring_settings,
    "models_ml/training/settings.toml": load_training,
    "models_ml/uplift/settings.toml": load_uplift,
}


@dataclass(frozen=True, config=STRICT)
class Bins:
    count: int
    edges: tuple[float, ...]


@dataclass(frozen=True, config=STRICT)
class Everything:
    share: PositiveFloat
    bins: Bins


def read(tmp_path: Path, text: str) -> Everything:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return check_settings(Everything, read_toml(path), path)


def test_arrays_are_tuples_and_whole_numbers_are_floats_where_declared(tmp_path: Path) -> None:
    found = read(tmp_path, "share = 1\n[bins]\ncount = 3\nedges = [0, 0.5]")
    assert found == Everything(1.0, Bins(3, (0.0, 0.5)))
    assert isinstance(found.share, float)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("share = 1\n[bins]\ncount = 3", "bins.edges is missing"),
        ("share = 1\nshares = 2\n[bins]\ncount = 3\nedges = []", "shares is unknown"),
        ("share = 1\n[bins]\ncount = 3\nedges = []\nedge = 1", "bins.edge is unknown"),
        ("share = 1\n[bins]\ncount = 3.5\nedges = []", "bins.count = 3.5: input should be a valid integer"),
        ("share = 1\n[bins]\ncount = true\nedges = []", "bins.count = True: input should be a valid integer"),
        ('share = "1"\n[bins]\ncount = 3\nedges = []', "share = '1': input should be a valid number"),
        ("share = 0\n[bins]\ncount = 3\nedges = []", "share = 0: input should be greater than 0"),
        ("share = inf\n[bins]\ncount = 3\nedges = []", "share = inf: input should be a finite number"),
        (
            "share = 1\n[bins]\ncount = 3\nedges = [1, 'x']",
            "bins.edges.1 = 'x': input should be a valid number",
        ),
        ("share = \n", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BayesPilotError) as error:
        read(tmp_path, text)
    assert says in str(error.value)
    assert str(tmp_path / "settings.toml") in str(error.value)


@pytest.mark.parametrize("file", LOADERS)
def test_every_settings_file_refuses_an_unknown_name(tmp_path: Path, file: str) -> None:
    copy = tmp_path / "settings.toml"
    copy.write_text((ROOT / file).read_text(encoding="utf-8"), encoding="utf-8")
    LOADERS[file](copy)
    copy.write_text("misspelt = 1\n" + copy.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(BayesPilotError, match="misspelt is unknown"):
        LOADERS[file](copy)


def test_no_settings_file_is_read_without_a_model() -> None:
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "models_ml").rglob("*settings.toml")}
    assert files == LOADERS.keys()
