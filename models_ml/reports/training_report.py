"""The page of one training: which candidate, deployed or not, why, and what that rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models_ml.deployment.challenge import Selection
from models_ml.deployment.deployed import DeploymentRecord
from models_ml.reports import training_headline as headline
from models_ml.reports import training_run_tables as run_tables
from models_ml.reports import training_tables as tables
from models_ml.reports.figures import share
from models_ml.reports.page import Figure, Page, Section, Table, Text
from models_ml.reports.training_figures import plain
from models_ml.reports.training_plots import captions
from models_ml.training.stage import TrainingResult


def training_page(
    result: TrainingResult,
    selection: Selection,
    record: DeploymentRecord,
    plots: Mapping[str, str],
    *,
    currency: str,
) -> Page:
    """Return the report of a training.

    Parameters
    ----------
    result : TrainingResult
        With evidence of the judged date.
    selection : Selection
        What became of the winner.
    record : DeploymentRecord
        Of the pipeline that this training made, deployed or registered.
    plots : mapping of name to SVG
        From `models_ml.reports.training_plots.training_plots`; what is missing is left out.
    currency : str
        Unit of every amount.
    """
    caption = captions(result)
    drawn = {name: Figure(drawing, caption[name]) for name, drawing in plots.items()}
    sections = [
        _selection(result, currency, drawn),
        _challenge(selection),
        _ranking(drawn),
        _calibration(result, currency, drawn),
        _thresholds(result, currency),
        _learning(result, drawn),
        _data(result),
    ]
    return Page(
        title=f"Training report: {record.source}",
        subtitle=f"Judged on {result.judged.split.judged_on}: {result.judged_rows:,} customers, of whom"
        f" {result.judged_churners:,} churned. Trained {record.trained_at[:16].replace('T', ' ')}.",
        verdict=headline.verdict(result, selection, currency),
        facts=headline.facts(result, currency),
        sections=[section for section in sections if section is not None],
        footer=headline.footer(result, selection, record),
    )


def _selection(result: TrainingResult, currency: str, drawn: Mapping[str, Figure]) -> Section:
    return Section(
        "Which candidate, and why?",
        [
            tables.candidates(result, currency),
            Text(f"Chosen: {plain(result.chosen)} – {result.reason}."),
            Text(tables.abbreviations()),
            *_present(drawn, "profit_curve", "time_line"),
        ],
        "Judged profit is what the contacts of a candidate's plan were worth on a date that taught it nothing:"
        " churn prevented less the cost, planned by the rules that decide in production, with limits scaled to"
        f" the {share(result.judged_share)} of customers for whom the judged rows stand.",
    )


def _challenge(selection: Selection) -> Section:
    contest = ""
    if selection.probability_better is not None:
        contest = (
            f"The challenger {selection.version} earns more than the champion {selection.champion_version} in"
            f" {share(selection.probability_better, 0)} of paired bootstraps of the judged customers. "
        )
    blocks: list[Text | Table | Figure] = [
        Text(f"{contest}{headline.fate(selection).capitalize()}: {selection.reason}.")
    ]
    table = run_tables.guardrails(selection)
    if table is not None:
        notes = [Text(f"{plain(rail.name).capitalize()}: {rail.note}.") for rail in selection.guardrails]
        blocks += [table, *notes]
    return Section("Does it take over from the champion?", blocks)


def _ranking(drawn: Mapping[str, Figure]) -> Section:
    return Section("Do the riskiest come first?", _present(drawn, "roc", "precision_recall"))


def _calibration(result: TrainingResult, currency: str, drawn: Mapping[str, Figure]) -> Section:
    blocks: list[Text | Table | Figure] = [*_present(drawn, "reliability", "calibration")]
    methods, by_segment = tables.calibration_methods(result), tables.segments(result, currency)
    if methods is not None:
        blocks += [Text("Curves tried on the calibration date, each on rows that did not fit it:"), methods]
    if by_segment is not None:
        blocks += [
            Text(
                f"Segments on the judged date, {plain(result.chosen)}; the ratio of a perfect forecast lies in the"
                " range beside it 19 times of 20:"
            ),
            by_segment,
        ]
    return Section(
        "Do probabilities come true?",
        blocks,
        "Money is decided with probabilities, not ranks: 8 % has to mean that 8 of 100 leave.",
    )


def _thresholds(result: TrainingResult, currency: str) -> Section | None:
    table = tables.thresholds(result, currency)
    if table is None:
        return None
    return Section(
        "What would a plain cut-off do?",
        [table],
        f"Contacting everybody whom {plain(result.chosen)} gives at least this churn probability; the most"
        " profitable is marked. A reading aid: actions come from the plan, which weighs value, cost, offer and"
        " limits customer by customer.",
    )


def _learning(result: TrainingResult, drawn: Mapping[str, Figure]) -> Section:
    figures = _present(drawn, "permutation_importance", "shap_importance", "coefficients", "search")
    return Section(
        "What does it lean on, and how was it tuned?",
        [*figures, run_tables.recipes(result), *run_tables.hyperparameters(result)],
    )


def _data(result: TrainingResult) -> Section:
    return Section(
        "Dates and rows",
        [
            run_tables.rounds(result),
            Text(
                f"Both are measured on {result.refitted.split.calibrated_on}. The refitted pipeline was calibrated on"
                " that date: its figures flatter it, the judged ones count."
            ),
            run_tables.both_rounds(result),
        ],
        "Only customer-dates without a contact within the horizon teach and judge.",
    )


def _present(drawn: Mapping[str, Figure], *names: str) -> Sequence[Figure]:
    return [drawn[name] for name in names if name in drawn]
