"""The command line ``bayespilot``: each command parses its options here and calls what does the work.

What a command needs is imported when it runs, so that ``bayespilot --help`` answers at once. A new command is one
function here that imports its package. Exit codes: 0 done, 1 could not, 2 wrong usage.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from models_ml.errors import BayesPilotError
from models_ml.paths import project_root, published_folder, reports_folder, warehouse_path
from models_ml.terminal import Commands, progress, say, table_console
from models_ml.uplift.command import uplift

DEFAULT_SHARES = (0.5, 1.0, 1.5, 2.0)  # of the present limit, where a what-if asks for no amount
SIMULATION = "scripts/simulate_months.py"
# A command that reads its own options: everything after its name is passed on, --help too.
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

app = typer.Typer(
    cls=Commands,
    name="bayespilot",
    help="Decide whom to contact, with which offer, and what it is worth: from raw tables to retention_actions.",
    epilog="Exit codes: 0 done, 1 could not, 2 wrong usage (bayespilot run passes on the exit code of dbt).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _keep(context: typer.Context, source: str) -> str:
    """Keep the source for the commands that errors name."""
    context.find_root().obj = source
    return source


Source = Annotated[
    str,
    typer.Option(
        "--source",
        callback=_keep,
        help="Folder of dbt_project/sources; each has its own seeds, warehouse, pipelines and reports.",
    ),
]


@app.command()
def run(
    source: Source = "demo",
    variables: Annotated[
        str, typer.Option("--vars", help="Further dbt variables, such as '{monthly_budget: 5000}'.")
    ] = "",
    selector: Annotated[
        str,
        typer.Option(help="Build a part: a name of selectors.yml, such as decide after an edit of seeds."),
    ] = "",
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Rebuild all dates; decisions that were made stay.")
    ] = False,
) -> None:
    """Build everything from raw tables to decisions, publish it, write the reports and print the summary.

    Shows steps; what dbt prints goes to logs/run_SOURCE.log. A failing node is shown in full and ends the run
    with the exit code of dbt; the published copy stays as it was.
    """
    from models_ml.run import run_all

    chosen = [*(["--selector", selector] if selector else []), *(["--full-refresh"] if full_refresh else [])]
    code = run_all(source, chosen, _variables(source, variables))
    if code:
        raise typer.Exit(code)


@app.command()
def init(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of the new source: lower-case letters, digits, underscores.", show_default=False
        ),
    ],
    data: Annotated[
        Path | None, typer.Option(help="Folder of its raw files, CSV or Parquet, one table each.")
    ] = None,
    tables: Annotated[
        str, typer.Option(help="DATABASE.SCHEMA of existing tables in its warehouse file.")
    ] = "",
    data_ends_on: Annotated[
        str,
        typer.Option(
            help="SQL of the last day that the data covers, such as \"date '2026-10-31'\"; default: yesterday."
        ),
    ] = "",
    churn: Annotated[
        str,
        typer.Option(
            help="subscription_end or inactivity; default: the former where there is a table of subscriptions."
        ),
    ] = "",
) -> None:
    """Write staging selects, sources.yml and neutral seeds of a new source; each line says what to fill in.

    A table named customers, consents, subscriptions, activity, payments, support_tickets or retention_contacts is
    mapped where its columns have the names of the contract. Overwrites nothing.
    """
    from models_ml.new_source import write_new_source

    with progress("reading the raw data"):
        written = write_new_source(name, folder=data, tables=tables, data_ends_on=data_ends_on, churn=churn)
    for line in written.next_steps():
        say(line)


@app.command()
def train(
    source: Source = "demo",
    baseline: Annotated[
        bool,
        typer.Option(
            "--baseline", help="Train logistic regression alone, kept beside as churn_pipeline.pkl."
        ),
    ] = False,
    allow_miscalibrated: Annotated[
        bool,
        typer.Option(
            "--allow-miscalibrated",
            help="Where nothing competes, deploy the winner even if its calibration check fails.",
        ),
    ] = False,
) -> None:
    """Train the candidates on the warehouse; the winner challenges the deployed pipeline.

    It is deployed if it earns more with the probability that models_ml/training/settings.toml asks for and no
    guardrail fails; otherwise it is kept. The deployed recipe trained again, or the successor of a stale
    pipeline, needs only not to earn less. Where nothing competes, the winner is deployed unless its predicted and
    observed churn differ by more than chance explains; --allow-miscalibrated lets it through, and the reports and
    the summary say so while it is deployed. The next build scores with what is deployed.
    `bayespilot run --source SOURCE --vars '{retrain: true}'` trains within a build.
    """
    from models_ml import train as training

    if baseline:
        training.train_the_baseline(source)
    else:
        training.train_and_challenge(source, allow_miscalibrated=allow_miscalibrated)


@app.command()
def versions(
    source: Source = "demo",
    sign: Annotated[
        bool,
        typer.Option(
            "--sign", help="Sign them with the first key of BAYESPILOT_SIGNING_KEY; list them after."
        ),
    ] = False,
) -> None:
    """List the pipelines that are kept, and which one is the champion.

    Where BAYESPILOT_SIGNING_KEY is set, only signed pipelines are read. For a change of keys, set the new and the
    old one, separated by a comma, sign, then remove the old one.
    """
    from models_ml.train import show_versions, sign_by_hand

    if sign:
        sign_by_hand(source)
    show_versions(source)


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="A version that bayespilot versions lists.")],
    source: Source = "demo",
) -> None:
    """Deploy a kept version, after verifying it."""
    from models_ml.train import promote_by_hand

    promote_by_hand(source, version)


@app.command()
def rollback(source: Source = "demo") -> None:
    """Deploy what was deployed before; a second time goes back one further."""
    from models_ml.train import roll_back_by_hand

    roll_back_by_hand(source)


@app.command(name="what-if")
def what_if(
    source: Source = "demo",
    budget: Annotated[
        str,
        typer.Option(help="Monthly budgets, such as 1000,2000,5000; default: half to twice the present one."),
    ] = "",
    capacity: Annotated[
        list[str] | None,
        typer.Option(help="Monthly contacts of an offer or channel, such as call=20,40,80; may be repeated."),
    ] = None,
) -> None:
    """Decide again under other budgets and capacities; nothing in the warehouse changes.

    Prints what each would spend and return, and draws the curves into reports/SOURCE/whatif.html. To keep a
    limit, edit it in seeds/SOURCE (the budget in policy.csv, capacities in offers.csv or channels.csv) and run
    bayespilot run --source SOURCE --selector decide.
    """
    budgets = _amounts("--budget", budget)
    capacities = [_capacity(text) for text in capacity or []]
    from models_ml.decisions.what_if import draw_curve, read_what_if_inputs
    from models_ml.reports.policy_data import read_calibration_warning, read_changed_inputs
    from models_ml.reports.what_if_page import print_curves, write_whatif
    from models_ml.warehouse import open_warehouse

    path = reports_folder(source) / "whatif.html"
    with progress("deciding again"), open_warehouse(source) as connection:
        inputs = read_what_if_inputs(connection)
        money = inputs.month.find("budget")
        limits = [
            (money, budgets or [share * money.monthly for share in DEFAULT_SHARES]),
            *((inputs.month.find(name), amounts) for name, amounts in capacities),
        ]
        curves = [draw_curve(inputs, limit, asked) for limit, asked in limits]
        found = (
            read_calibration_warning(connection),
            read_changed_inputs(connection, inputs, curves[0], source),
        )
    warnings = [warning for warning in found if warning]
    for warning in warnings:
        say(warning)
    print_curves(table_console(), curves, inputs.decision.policy.currency)
    write_whatif(path, curves, source=source, inputs=inputs, warning=" ".join(warnings) or None)
    say(f"drawn in {path}")


@app.command()
def report(source: Source = "demo") -> None:
    """Write policy.html (the last plan) and monitoring.html (what needs attention) into reports/SOURCE.

    Reads the warehouse only, and prints the verdict and the findings of the monitoring.
    """
    from models_ml.run import write_reports

    with progress("reading the last run") as notify:
        written = write_reports(source, notify)
    for line in (*written.said, *(f"wrote {path}" for path in written.paths)):
        say(line)


@app.command()
def publish(
    source: Source = "demo",
    target: Annotated[
        str,
        typer.Option(
            help="Target of profiles.yml that has built the run, where it is not a DuckDB file: spark."
        ),
    ] = "",
) -> None:
    """Write what BI tools and the CRM read into a folder of its own, then point the link `current` at it.

    With --target spark, the tables of the run are first copied from Spark into warehouse/SOURCE_spark.duckdb; with
    RETENTION_DB naming that file, reports and the summary are of the same run.
    """
    from models_ml.publish import publish as publish_copy

    warehouse = warehouse_path(source)
    if target:
        from models_ml.dbt_build import copy_run

        warehouse = warehouse.with_name(f"{warehouse.stem}_{target}.duckdb")
        with progress("copying the tables of the run"):
            copy_run(source, target, warehouse)
    published = publish_copy(source, warehouse, published_folder(source))
    say(f"published {published.rows:,} rows to {published.run_folder}")
    for warning in published.warnings:
        say(f"  warning: {warning}", style="yellow")


@app.command()
def docs(source: Source = "demo") -> None:
    """Write dbt docs of a built warehouse into target/, every column described; `dbt docs serve` shows them.

    A column that a model passes on carries the text of the model that says what it is: `dbt docs generate` alone leaves
    it empty.
    """
    from models_ml.docs import generate

    with progress("writing the docs"):
        folder, undescribed = generate(source)
    say(f"wrote {folder / 'manifest.json'} and catalog.json; dbt docs serve shows them")
    if undescribed:
        say(f"{len(undescribed)} columns are described nowhere: {', '.join(undescribed[:5])}")


@app.command(name="app")
def serve_app(
    source: Source = "demo",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 8501,
) -> None:
    """Show plan, other limits, one customer, earnings and monitoring as a page in the browser.

    Reads the published copy and changes nothing. Needs Streamlit: pip install -e '.[app]'. The page is served to
    this machine only, until Ctrl-C.
    """
    from models_ml.app.start import start

    start(source, port)


@app.command()
def summary(source: Source = "demo") -> None:
    """Print what the last run decided: contacts, money, who is not contacted, quarantine."""
    from models_ml.summary import print_summary, read_summary, where_next

    print_summary(table_console(), read_summary(source), source)
    say(where_next(source))


@app.command()
def serve(
    source: Source = "demo",
    host: Annotated[
        str, typer.Option(help="Address to listen on; another than this machine's asks for a token.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8000,
    token_env: Annotated[
        str, typer.Option("--token-env", help="Environment variable that holds the token of every request.")
    ] = "",
) -> None:
    """Answer over HTTP: a customer's decision now, by the rules of the last published run.

    GET /health, /pipeline, /customers/ID, POST /decisions; /openapi.json describes every feature. Picks up the next
    published run by itself, never opens the warehouse, and logs its decisions for the next build.
    """
    from models_ml.serving.server import serve as serve_source

    serve_source(source, host, port, token_env)


@app.command()
def erase(
    customers: Annotated[
        list[str], typer.Argument(help="Values of customer_id, as the warehouse holds them.")
    ],
    source: Source = "demo",
) -> None:
    """Erase customers from the warehouse, the published copies, logs, generated files and reports.

    Says what was removed. Can be repeated. Rows that the raw data still holds do not enter again: a salted hash of
    each id blocks them. The next build decides without these customers.
    """
    from models_ml.erase import erase as erase_customers
    from models_ml.erase import lines_of

    with progress("erasing"):
        erased = erase_customers(source, customers)
    for line in lines_of(erased):
        say(line)


@app.command(context_settings=PASSED_ON, add_help_option=False)
def simulate(context: typer.Context) -> None:
    """Play the demo business forward in a temporary folder; see simulate --help."""
    script = project_root() / SIMULATION
    if not script.is_file():
        raise BayesPilotError("the simulation is not in this folder", where=str(script))
    finished = subprocess.run([sys.executable, str(script), *context.args], check=False)
    if finished.returncode:
        raise typer.Exit(finished.returncode)


app.command()(uplift)


def _variables(source: str, text: str) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(text or "{}")
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a day that the calendar does not have
        raise typer.BadParameter(f"--vars {text!r} is not YAML: {error}") from error
    if not isinstance(found, Mapping):
        raise typer.BadParameter(f"--vars {text!r} must be a mapping: '{{monthly_budget: 5000}}'")
    if found.get("source", source) != source:
        raise typer.BadParameter(f"--vars names the source {found['source']}, --source {source}: give one")
    return dict(found)


def _capacity(text: str) -> tuple[str, list[float]]:
    name, _, amounts = text.partition("=")
    if not name.strip() or not amounts:
        raise typer.BadParameter(f"{text!r} must name an offer or a channel: call=20,40,80")
    found = _amounts("--capacity", amounts)
    if any(amount != int(amount) for amount in found):
        raise typer.BadParameter(f"{text!r} must hold whole numbers of contacts")
    return name.strip(), found


def _amounts(option: str, text: str) -> list[float]:
    try:
        amounts = [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise typer.BadParameter(f"{option} {text!r} must be numbers separated by commas") from error
    if text and not amounts:
        raise typer.BadParameter(f"{option} {text!r} holds no number")
    if not all(0 <= amount < float("inf") for amount in amounts):
        raise typer.BadParameter(f"{option} {text!r} must hold numbers of at least 0")
    return amounts


if __name__ == "__main__":
    app()
