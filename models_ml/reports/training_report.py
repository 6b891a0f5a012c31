"""The page of one training: which candidate, deployed or not, why, and what that rests on."""

from __future__ import annotations

from collections.abc import Sequence

from models_ml.deployment import DeploymentRecord
from models_ml.reports import training_tables as tables
from models_ml.reports.figures import money, share
from models_ml.reports.page import Fact, Figure, Page, Section, Table, Text
from models_ml.reports.training_figures import plain, reliability_bins
from models_ml.reports.training_plots import training_plots
from models_ml.reports.training_tables import number
from models_ml.training.challenge import Selection
from models_ml.training.stage import TrainingResult

NORMAL_95 = 1.96  # standard errors on either side of a 95 % interval


def training_page(
    result: TrainingResult, selection: Selection, record: DeploymentRecord, *, currency: str
) -> Page:
    """Return the report of a training.

    Parameters
    ----------
    record : DeploymentRecord
        Of the pipeline that this training made, deployed or registered.
    currency : str
        Unit of every amount.
    """
    drawn = {
        name: Figure(drawing, caption)
        for name, drawing in training_plots(result, currency).items()
        if (caption := _captions(result).get(name))
    }
    return Page(
        title=f"Training report: {record.source}",
        subtitle=f"{selection.version}, trained {record.trained_at.replace('T', ' ')},"
        f" judged on {result.judged.split.judged_on}",
        verdict=verdict(result, selection, currency),
        facts=_facts(result, selection, currency),
        sections=[
            _selection(result, selection, currency, drawn),
            _ranking(drawn),
            _calibration(result, currency, drawn),
            _thresholds(result, currency),
            _learning(result, drawn),
            _data(result),
        ],
        footer=_footer(result, selection, record),
    )


def verdict(result: TrainingResult, selection: Selection, currency: str) -> str:
    """Return which pipeline is deployed, what it earns and why, in a sentence or two."""
    name = plain(result.chosen)
    profit = result.verdicts[result.chosen].profit
    low, high = _interval(profit.profit, profit.standard_error)
    earns = (
        f"its plan would have earned {money(profit.profit, currency)}"
        f" (95 % interval {money(low, currency)} to {money(high, currency)})"
    )
    match selection.outcome:
        case "kept":
            head = (
                f"The champion {selection.champion_version} stays deployed; {name} won this training, {earns}"
            )
        case "promoted":
            head = f"{name.capitalize()} is deployed and replaces {selection.champion_version}: {earns}"
        case "forced":
            head = f"{name.capitalize()} is deployed, its predecessor cannot compete: {earns}"
        case _:
            head = f"{name.capitalize()} is deployed, the first of this source: {earns}"
    return f"{head}. Among candidates: {result.reason}. Deployment: {selection.reason}."


def _interval(amount: float, standard_error: float) -> tuple[float, float]:
    return amount - NORMAL_95 * standard_error, amount + NORMAL_95 * standard_error


def _facts(result: TrainingResult, selection: Selection, currency: str) -> list[Fact]:
    found = result.verdicts[result.chosen]
    low, high = _interval(found.profit.profit, found.profit.standard_error)
    back = found.profit.profit / found.planned_cost if found.planned_cost else float("nan")
    metrics = found.metrics
    facts = [
        Fact(
            "Judged profit",
            money(found.profit.profit, currency),
            f"95 %: {money(low, currency)} to {money(high, currency)}",
        ),
        Fact(
            "Contacts",
            f"{found.planned_contacts:,}",
            f"{share(found.planned_contacts / result.judged_rows)} of {result.judged_rows:,} customers",
        ),
        Fact(
            "Cost of the plan",
            money(found.planned_cost, currency),
            f"profit per {currency}: {number(back, 2)}",
        ),
        Fact("AUC", number(metrics["auc"]), f"lift among the riskiest {number(metrics['lift'], 1)}"),
        Fact("Calibration ratio", number(metrics["calibration_ratio"]), "forecast over observed; 1 is right"),
        Fact("Calibration error", number(metrics["calibration_error"]), "mean gap over quantile bins"),
        Fact("Churned", f"{result.judged_churners:,}", f"of the {result.judged_rows:,} judged"),
    ]
    if selection.probability_better is not None:
        better = share(selection.probability_better, 0)
        facts.append(Fact("Better than champion", better, "of paired bootstraps"))
    return facts


def _selection(
    result: TrainingResult, selection: Selection, currency: str, drawn: dict[str, Figure]
) -> Section:
    blocks: list[Text | Table | Figure] = [
        tables.candidates(result, currency),
        Text(f"Chosen: {plain(result.chosen)} – {result.reason}."),
        *_present(drawn, "profit_curve", "time_line"),
        Text(f"Champion and challenger: {selection.outcome} – {selection.reason}.{_compared(selection)}"),
    ]
    if selection.guardrails:
        blocks.append(tables.guardrails(selection))
    return Section(
        "Which candidate, and why",
        blocks,
        "Judged profit is what the contacts of a candidate's plan were worth on a date that taught it nothing:"
        " churn prevented less the cost, under the same rules and limits that decide in production.",
    )


def _compared(selection: Selection) -> str:
    if selection.probability_better is None:
        return ""
    better = share(selection.probability_better, 0)
    return f" Better than {selection.champion_version} in {better} of paired bootstraps."


def _ranking(drawn: dict[str, Figure]) -> Section:
    return Section("Do the riskiest come first?", _present(drawn, "roc", "precision_recall"))


def _calibration(result: TrainingResult, currency: str, drawn: dict[str, Figure]) -> Section:
    blocks: list[Text | Table | Figure] = [*_present(drawn, "reliability", "calibration")]
    if any(candidate.calibration for candidate in result.evidence.candidates.values()):
        blocks.append(tables.calibration_methods(result))
    by_segment = tables.segments(result, currency)
    if by_segment is not None:
        blocks.append(by_segment)
    return Section(
        "Do probabilities come true?",
        blocks,
        "Money is decided with probabilities, not ranks: 8 % has to mean that 8 of 100 leave.",
    )


def _thresholds(result: TrainingResult, currency: str) -> Section:
    return Section(
        "What would a plain cut-off do?",
        [tables.thresholds(result, currency)] if result.evidence.candidates[result.chosen].thresholds else [],
        "A reading aid: actions come from the plan, which weighs value, cost, offer and limits customer by customer.",
    )


def _learning(result: TrainingResult, drawn: dict[str, Figure]) -> Section:
    figures = _present(drawn, "permutation_importance", "shap_importance", "coefficients", "search")
    return Section("What does it lean on, and how was it tuned?", [*figures, tables.recipes(result)])


def _data(result: TrainingResult) -> Section:
    return Section(
        "Dates and rows",
        [tables.rounds(result), tables.both_rounds(result)],
        "Only customer-dates without a contact within the horizon teach and judge.",
    )


def _present(drawn: dict[str, Figure], *names: str) -> Sequence[Figure]:
    return [drawn[name] for name in names if name in drawn]


def _captions(result: TrainingResult) -> dict[str, str]:
    """Return the question that each figure answers, and how to read it."""
    name = plain(result.chosen)
    bins = reliability_bins(result)
    outside = int(bins.outside.sum())
    return {
        "profit_curve": "How many customers are worth contacting? Lines: everybody from a cut-off on, limits"
        " ignored. Points: the plan within its limits, ± one standard error; the large one is chosen.",
        "time_line": "On which dates was it learned, and on which judged? Each step waits a horizon for the one"
        " before, so no label peeks ahead; the deployed pipeline repeats the recipe with the newest dates.",
        "roc": "How many churners does each candidate find for the stayers it disturbs? Higher is better;"
        " the number is the area (AUC).",
        "precision_recall": "How many of the contacted would really leave? The dashed line is contacting at random;"
        " the number is the average precision.",
        "reliability": f"Does {name} mean what it says? {outside} of {len(bins.customers)} bins lie outside the range"
        " of a perfect forecast; one in twenty does by chance. Below: customers per bin.",
        "calibration": f"What did calibration change for {name}? On the judged date, which it never saw; the dashed"
        " line is a perfect forecast.",
        "permutation_importance": f"Without which features would {name} rank worse? Bars: mean of shuffles,"
        " whiskers: one standard deviation.",
        "shap_importance": f"Which features move the score of {name} most? Same order as beside, so that the"
        " two views compare.",
        "coefficients": "In which direction does each feature push in the logistic regression? Right raises churn,"
        " left lowers it.",
        "search": "Did tuning matter? One ring per setting tried, the diamond is in use.",
    }


def _footer(result: TrainingResult, selection: Selection, record: DeploymentRecord) -> str:
    libraries = ", ".join(f"{name} {version}" for name, version in record.libraries.items())
    lines = [
        f"Pipeline {record.pipeline_version}, sha256 {record.sha256}",
        f"Champion before: {selection.champion_version or 'none'}",
        f"Source {record.source}, churn definition {record.churn_definition}, horizon {record.horizon_days} days,"
        f" activity map {record.activity_map_hash}",
        f"Data judged {result.judged.data_fingerprint}",
        f"Data deployed {result.refitted.data_fingerprint}",
        f"Settings {record.settings_fingerprint}",
        f"Libraries: {libraries}",
        f"Trained {record.trained_at}, MLflow run {record.mlflow_run_id or 'none'}",
    ]
    return "\n".join(lines)
