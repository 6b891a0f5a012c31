"""The deployed pipeline as MLflow loads it: ``mlflow.pyfunc.load_model("models:/bayespilot-demo@champion")``.

Its ``predict`` takes a data frame with the feature columns and returns churn probabilities. The files are those
that dbt scores with, verified the same way before anything is unpickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from models_ml.deployment.deployed import DEPLOYED, read_record, unpickle, verify
from models_ml.deployment.record import DeploymentRecord
from models_ml.errors import BayesPilotError
from models_ml.training.pipeline import ChurnPipeline

OUTPUT = "churn_probability"


class Scorer:
    """The object that ``load_model`` returns inside its wrapper."""

    def __init__(self, pipeline: ChurnPipeline, record: DeploymentRecord) -> None:
        self._pipeline, self._schema = pipeline, record.schema

    def predict(self, features: pd.DataFrame, params: dict[str, Any] | None = None) -> np.ndarray:
        """Return the churn probability of each row, 0 to 1, shape (n,)."""
        types = [
            (one.feature, pa.string() if one.role == "categorical" else pa.float64())
            for one in self._schema.features
        ]
        ordered = features[[name for name, _ in types]]
        table = pa.Table.from_pandas(ordered, schema=pa.schema(types), preserve_index=False)
        return self._pipeline.score(table)[0]


def signature(record: DeploymentRecord) -> ModelSignature:
    """Return the columns of input and output; every feature may be missing."""
    columns: list[ColSpec | TensorSpec] = [
        ColSpec(
            DataType.string if one.role == "categorical" else DataType.double, one.feature, required=False
        )
        for one in record.schema.features
    ]
    return ModelSignature(Schema(columns), Schema([ColSpec(DataType.double, OUTPUT)]))


def write_description(folder: Path, record: DeploymentRecord) -> Path:
    """Write MLflow's description of the pipeline into the folder; return its path."""
    described = Model(artifact_path=DEPLOYED, run_id=record.mlflow_run_id, signature=signature(record))
    described.add_flavor("python_function", loader_module=__name__, data=".")
    path = folder / MLMODEL_FILE_NAME
    described.save(str(path))
    return path


def _load_pyfunc(path: str) -> Scorer:
    """Load the verified pipeline; MLflow calls this by name."""
    folder = Path(path)
    record = read_record(folder)
    if record is None:
        raise BayesPilotError("there is no record beside the pipeline", where=path, next_step="train again")
    content = verify(folder, record, record.source)
    return Scorer(unpickle(content, folder / f"{DEPLOYED}.pkl"), record)
