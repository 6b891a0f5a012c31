"""Train and compare churn pipelines on any frame: no warehouse, no files, nothing deployed.

Where there is no policy with offers and limits, candidates are judged by the value and cost of each customer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from models_ml.decisions.economics import needed_columns
from models_ml.decisions.policy import DecisionInputs
from models_ml.errors import BayesPilotError
from models_ml.evaluation.arrays import as_numbers
from models_ml.evaluation.profit import JudgedProfit
from models_ml.training.candidates import CANDIDATES, Hyperparameters
from models_ml.training.diagnostics import TrainingDiagnostics
from models_ml.training.examples import Examples
from models_ml.training.frames import Columns, Frame, RowsOrDates, as_table, feature_columns, read_role_rows
from models_ml.training.judging import JudgedDate
from models_ml.training.leakage import check_names, screen
from models_ml.training.pipeline import ChurnPipeline
from models_ml.training.schema import FeatureSchema
from models_ml.training.settings import TrainingSettings, load_settings
from models_ml.training.stage import LOG_LOSS, Gain, Notify, Roles, compare_candidates

VALUE = "value_if_kept"  # columns that value and cost are read into
COST = "cost_of_contact"


@dataclass(frozen=True)
class ComparedCandidates:
    """Fitted, calibrated pipelines and how they compare on the judged rows.

    ``profits`` is None without decision inputs or values of customers, ``judged_date`` without decision inputs.
    ``metrics`` are those of `models_ml.evaluation.metrics` (``score_metrics``, ``notice_metrics``), and ``empc``.
    """

    chosen: str
    reason: str
    pipelines: Mapping[str, ChurnPipeline]
    recipes: Mapping[str, Hyperparameters]
    metrics: Mapping[str, Mapping[str, float]]
    profits: Mapping[str, JudgedProfit] | None
    diagnostics: TrainingDiagnostics
    judged_date: JudgedDate | None

    def churn_probability(self, frame: Frame, candidate: str | None = None) -> np.ndarray:
        """Return churn probabilities of a frame with the schema's columns, by the chosen candidate or another.

        Returns
        -------
        ndarray of shape (rows,), 0 to 1

        Raises
        ------
        BayesPilotError
            If the candidate was not trained, or a column is missing or cannot be read in its role.
        """
        name = candidate or self.chosen
        if name not in self.pipelines:
            raise BayesPilotError(
                "unknown candidate",
                values=[name],
                next_step=f"choose among {', '.join(self.pipelines)}, or train it too (candidates=[…])",
            )
        pipeline = self.pipelines[name]
        columns = feature_columns(frame, pipeline.encoder.schema)
        return pipeline.score(columns)[0] if columns.num_rows else np.zeros(0)


def train_candidates(
    frame: Frame,
    schema: FeatureSchema,
    *,
    label: str,
    fit: RowsOrDates,
    calibrate: RowsOrDates,
    judge: RowsOrDates,
    date: str | None = None,
    horizon_days: int | None = None,
    weight: str | None = None,
    inputs: DecisionInputs | None = None,
    value: str | ArrayLike | None = None,
    cost: str | ArrayLike | None = None,
    kept_share: float | None = None,
    trusted_features: Sequence[str] = (),
    candidates: Sequence[str] = tuple(CANDIDATES),
    settings: TrainingSettings | None = None,
    notify: Notify = lambda message: None,
) -> ComparedCandidates:
    """Fit candidates on one part of a frame, calibrate them on a later one, compare them on the latest.

    With ``inputs``, or with ``value``, ``cost`` and ``kept_share``, the candidate with the highest judged profit is
    chosen, else the one with the lowest log-loss; in both cases the simplest within one standard error of the best.
    Hyper-parameters are searched where ``date`` is given and the fit dates span a horizon; else the declared ones hold.

    Parameters
    ----------
    frame : pandas, polars or pyarrow frame
        One row per customer, or per customer and date; rows keep their order.
    schema : FeatureSchema
        Which columns are features, in which role; see `feature_schema`. Missing values are allowed in features.
    label : str
        Column of 0 and 1 (or bool), 1 = churned within the horizon; never missing.
    fit, calibrate, judge : mask, date or dates
        Rows of each role: booleans of shape (rows,), or values of the column ``date``. No row in two roles.
    date : str, optional
        Column of as-of dates.
    horizon_days : int, optional
        Days in which churn is judged; needed with ``date``. Roles must lie at least this far apart.
    weight : str, optional
        Column of weights > 0 (1 / propensity of no contact); 1 without.
    inputs : DecisionInputs, optional
        Policy, offers, their effects and acceptance. The frame then also needs ``monthly_revenue`` (money per 30
        days), ``offers_allowed`` (bit k set where offer k is allowed), ``signal_<name>`` per signal of the effects, and
        ``contact_cost_<k>`` and ``incentive_cost_<k>`` (money) per offer.
        Limits of a month are those of the judged rows.
    value, cost : column name, number, or array-like of shape (rows,), optional
        Money of each customer: what is lost if the customer leaves, and what a contact costs, its incentive included.
        A candidate's contacts are then the customers with churn probability · ``kept_share`` · value above cost,
        each judged as churned · ``kept_share`` · value − cost. Not together with ``inputs``, which have values and
        costs of their own.
    kept_share : float, above 0, at most 1, optional
        Share of would-be churners whom a contact keeps; needed with ``value``.
    trusted_features : names, optional
        Features that were known on their dates although they look too good to be true.
    candidates : names in the registry `models_ml.training.candidates.CANDIDATES`
    settings : TrainingSettings, optional
        Those of ``settings.toml`` by default.
    notify : callable
        Called with a sentence for each step.

    Raises
    ------
    BayesPilotError
        If a column is missing or of another kind, a label is unknown, a role is empty or of one class, rows
        have two roles or lie too close in time, a candidate is unknown, or a feature is the label, an id or too
        good to be true.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from models_ml.training import feature_schema, train_candidates
    >>> random = np.random.default_rng(0)
    >>> days = pd.to_datetime(["2025-01-31", "2025-02-28", "2025-03-31", "2025-04-30"]).date
    >>> frame = pd.DataFrame({"day": np.repeat(days, 300), "silent_days": random.integers(0, 90, 1200)})
    >>> frame["plan"] = random.choice(["basic", "pro"], 1200)
    >>> risk = 1 / (1 + np.exp(3 - 0.05 * frame["silent_days"] + 1.0 * (frame["plan"] == "pro")))
    >>> frame["left"] = random.random(1200) < risk
    >>> schema = feature_schema({"silent_days": "numeric", "plan": "categorical"}, {"silent_days": 1})
    >>> compared = train_candidates(
    ...     frame, schema, label="left", date="day", horizon_days=28,
    ...     fit=days[:2], calibrate=days[2], judge=days[3],
    ...     candidates=["logistic_regression", "gradient_boosting"],
    ... )
    >>> compared.chosen, compared.metrics["logistic_regression"]["auc"] > 0.7
    ('logistic_regression', True)
    >>> new = pd.DataFrame({"silent_days": [5, 80], "plan": ["pro", "basic"]})
    >>> low, high = compared.churn_probability(new)
    >>> bool(low < 0.1 < 0.5 < high)
    True
    """
    chosen_settings = load_settings() if settings is None else settings
    columns = _columns(label, weight, inputs)
    gain = LOG_LOSS
    if value is not None or cost is not None or kept_share is not None:
        if value is None or cost is None or kept_share is None or inputs is not None:
            raise BayesPilotError(
                "value, cost and kept_share belong together, and exclude inputs",
                next_step="give all three, or inputs, which have values and costs of their own",
            )
        frame = with_customer_money(frame, value, cost, kept_share)
        columns = replace(columns, money=(VALUE, COST))
        gain = Gain("highest judged profit", partial(contact_profits, kept_share=kept_share))
    given = {"fit": fit, "calibrate": calibrate, "judge": judge}
    check_names(schema, label)
    rows = read_role_rows(frame, schema, columns, given, date, horizon_days, chosen_settings)
    screen(rows.judge, chosen_settings.leakage, trusted_features)
    compared = compare_candidates(
        Roles(
            search=lambda: rows.search,
            fit=lambda: rows.fit,
            calibrate=lambda: rows.calibrate,
            judge=lambda: (rows.judge, 1.0),
        ),
        schema,
        chosen_settings,
        inputs=inputs,
        candidates=candidates,
        notify=notify,
        gain=gain,
    )
    return ComparedCandidates(
        compared.chosen,
        compared.reason,
        compared.fitted.pipelines,
        compared.recipes,
        compared.metrics,
        None if gain is LOG_LOSS and inputs is None else compared.totals,
        compared.diagnostics,
        compared.judged_date,
    )


def _columns(label: str, weight: str | None, inputs: DecisionInputs | None) -> Columns:
    if inputs is None:
        return Columns(label, weight, ())
    return Columns(label, weight, tuple(needed_columns(inputs)))


def with_customer_money(
    frame: Frame, value: str | ArrayLike, cost: str | ArrayLike, kept_share: float
) -> pa.Table:
    """Return the frame as a table with the columns ``VALUE`` and ``COST``.

    Parameters
    ----------
    frame : pandas, polars or pyarrow frame
    value, cost : column name, number, or array-like of shape (rows,), money
    kept_share : float, above 0, at most 1

    Raises
    ------
    BayesPilotError
        If a column is missing, a length differs, money is negative or missing, or the share is out of its bounds.
    """
    if not 0 < float(as_numbers("kept_share", kept_share, ())) <= 1:
        raise BayesPilotError(
            "kept_share lies outside (0, 1]", values=[kept_share], next_step="give a share such as 0.3"
        )
    table = as_table(frame)
    money = {VALUE: _money(table, "value", value), COST: _money(table, "cost", cost)}
    kept = [position for position, known in enumerate(table.column_names) if known not in money]
    table = table.select(kept)
    for column, amounts in money.items():
        table = table.append_column(column, pa.array(amounts))
    return table


def contact_profits(churn_probability: np.ndarray, examples: Examples, kept_share: float) -> np.ndarray:
    """Return what the contacts of a candidate were worth, money by row; 0 for customers it would not contact.

    It contacts customers with churn probability · ``kept_share`` · value above cost.
    """
    value, cost = (examples.table[name].to_numpy() for name in (VALUE, COST))
    kept = kept_share * value
    profit = examples.example_weight * (examples.has_churned * kept - cost)
    return np.where(churn_probability * kept > cost, profit, 0.0)


def _money(table: pa.Table, name: str, given: str | ArrayLike) -> np.ndarray:
    values = given
    if isinstance(given, str):
        if given not in table.column_names:
            raise BayesPilotError(
                f"the frame has no column for {name}",
                values=[given],
                next_step=f"name one of its columns, or give an array of {table.num_rows} numbers",
            )
        values = table[given].to_numpy()
    money = as_numbers(name, values, (table.num_rows,) if np.ndim(values) else ())
    if (money < 0).any():
        raise BayesPilotError(
            f"{name} is below 0", values=money[money < 0].tolist(), next_step="give money as positive numbers"
        )
    return np.broadcast_to(money, (table.num_rows,))
