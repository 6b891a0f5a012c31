"""The page to work with: what it shows is what the published copy says, and other limits are decided anew."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import Project
from decision_data import candidates, decision_inputs, effects

from models_ml.app import start
from models_ml.app.one_customer import offers_table
from models_ml.app.other_limits import seed_edits
from models_ml.decisions.limits import read_prices
from models_ml.decisions.planned_actions import PlanTables
from models_ml.decisions.what_if import MonthLimit, read_what_if_inputs
from models_ml.errors import BayesPilotError
from models_ml.publish import publish
from models_ml.published_tables import PUBLISHED_TABLES
from models_ml.warehouse import open_warehouse

testing = pytest.importorskip(
    "streamlit.testing.v1", reason="Streamlit is not installed: pip install -e '.[app]'"
)
COPY = "published/demo/current/retention.duckdb"
SECONDS = 120  # that a page may take on a busy machine


def texts(app: Any) -> str:
    """Return all text of the page, without the strokes that guard its signs."""
    shown = [*app.markdown, *app.caption, *app.title, *app.subheader, *app.code]
    return "\n".join(str(element.value) for element in shown).replace("\\", "")


def go_to(app: Any, page: str) -> Any:
    app.radio[0].set_value(page).run()
    assert not app.exception, [error.value for error in app.exception]
    assert not app.error
    return app


def slider(app: Any, key: str) -> Any:
    return next(one for one in app.slider if one.key == key)


def card(app: Any, label: str) -> str:
    """Return the number of a card."""
    shown = [
        str(element.value).replace("\\", "")
        for element in app.main
        if element.type in ("caption", "markdown")
    ]
    return shown[shown.index(label) + 1].strip("*")


@pytest.fixture(scope="module")
def copy(built_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published copy; the file stands where a warehouse of RETENTION_DB would publish."""
    folder = tmp_path_factory.mktemp("app")
    publish("demo", built_project.warehouse(), folder / "published" / "demo")
    return folder


@pytest.fixture
def app(copy: Path, built_project: Project, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("RETENTION_DB", str(copy / "demo.duckdb"))
    monkeypatch.setenv("DBT_PROFILES_DIR", str(built_project.folder))
    shown = testing.AppTest.from_file(str(start.__file__), default_timeout=SECONDS).run()
    assert not shown.exception, [error.value for error in shown.exception]
    assert not shown.error
    return shown


@pytest.mark.build
def test_the_plan_is_that_of_the_last_run(app: Any, built_project: Project) -> None:
    ((contacts, spend),) = built_project.query(
        "select planned_contacts - trial_contacts, round(planned_spend - trial_spend) from policy_runs"
    )
    assert f"{contacts:,} planned contacts at {spend:,.0f} EUR are expected" in texts(app)
    assert len(app.table) >= 4


@pytest.mark.build
def test_other_limits_are_decided_anew_and_change_nothing(
    app: Any, copy: Path, built_project: Project, tmp_path: Path
) -> None:
    file = copy / COPY
    before = file.read_bytes()
    go_to(app, "Other limits")
    ((contacts, made, offers),) = built_project.query(
        "select planned_contacts - trial_contacts, contacts, (select count(*) from int_offers) from policy_runs"
    )
    assert card(app, "Planned contacts") == f"{contacts:,}"
    assert card(app, "Contacts made") == f"{made:,}"
    assert "0 more customers are contacted, 0 are not contacted any more, and 0 get another offer" in texts(
        app
    )
    assert len(app.table[0].value) == offers
    assert not app.code
    slider(app, "budget EUR").set_value(0).run()
    assert card(app, "Planned contacts") == "0"
    assert card(app, "Expected values, summed") == "0 EUR"
    assert f"0 more customers are contacted, {made:,} are not contacted any more" in texts(app)
    assert "seeds/demo/policy.csv: monthly_budget 0" in texts(app)
    slider(app, "budget EUR").set_value(350).run()
    slider(app, "channel email").set_value(5).run()
    then = app.table[0].value
    by_channel = then["contacts then"].astype(int).groupby(then["channel"]).sum()
    assert 0 < by_channel["email"] <= 5
    assert not app.exception
    assert file.read_bytes() == before


@pytest.mark.build
def test_one_customer_with_all_offers(app: Any, built_project: Project) -> None:
    go_to(app, "One customer")
    rows = built_project.query(
        "select customer_id, action_label, planned_value, reason_1, rationale from retention_actions order by priority limit 1"
    )
    ((customer, label, value, reason, rationale),) = rows
    assert app.selectbox[0].value == customer
    shown = texts(app)
    assert label in shown
    assert reason in shown
    assert rationale in shown
    offers = app.table[0].value
    (planned,) = offers[offers.iloc[:, -1] == "planned"].values.tolist()
    assert planned[4] == f"{value:,.2f}"
    assert app.table[1].value["status"].tolist() == ["open"]
    ((left_alone,),) = built_project.query(
        "select customer_id from retention_actions where arm = 'universal_holdout' order by 1 limit 1"
    )
    app.text_input[0].set_value(left_alone).run()
    assert "member of the holdout group" in texts(app)
    assert "planned" not in app.table[0].value.iloc[:, -1].tolist()
    app.text_input[0].set_value("nobody").run()
    assert [warning.value for warning in app.warning] == ["Nobody of the id nobody is at risk tonight."]
    assert not app.exception


@pytest.mark.build
def test_earnings_and_monitoring_are_those_of_the_report(app: Any) -> None:
    go_to(app, "Earnings")
    assert app.title[0].value == "Is the programme earning?"
    assert "once the first month of the programme has finished" in texts(app)
    go_to(app, "Monitoring")
    titles = [header.value for header in app.header]
    assert "What needs a person?" in titles
    assert "Is the programme earning?" not in titles
    assert card(app, "Programme earning?") == "not known yet"


def test_without_a_published_copy_the_page_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETENTION_DB", str(tmp_path / "demo.duckdb"))
    shown = testing.AppTest.from_file(str(start.__file__), default_timeout=SECONDS).run()
    said = shown.error[0].value.replace("\\", "").split("  \n")  # lines of Markdown
    assert said[0] == "nothing has been published yet"
    assert said[-1].endswith("bayespilot publish --source demo")
    with pytest.raises(BayesPilotError, match="nothing has been published yet"):
        start.start("demo", 8501)


def test_the_page_is_served_to_this_machine_only_and_reports_to_nobody() -> None:
    options = start.command(8600)
    given = dict(zip(options[5::2], options[6::2], strict=True))
    assert given["--server.address"] == "127.0.0.1"
    assert given["--server.port"] == "8600"
    assert given["--browser.gatherUsageStats"] == "false"
    assert os.path.isfile(options[4])


def test_without_streamlit_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BayesPilotError, match=r"pip install -e '\.\[app\]'"):
        start.start("demo", 8501)


def test_the_copy_holds_what_a_plan_is_made_of(copy: Path, built_project: Project) -> None:
    assert {table.name for table in fields(PlanTables)} <= set(PUBLISHED_TABLES)
    with open_warehouse("demo", copy / COPY) as published:
        from_copy = read_what_if_inputs(published)
    with open_warehouse("demo", built_project.warehouse()) as warehouse:
        from_warehouse = read_what_if_inputs(warehouse)
    assert from_copy.month == from_warehouse.month
    assert np.array_equal(from_copy.customers.value_cents, from_warehouse.customers.value_cents)


def test_offers_are_compared_with_the_prices_of_their_limits() -> None:
    inputs = decision_inputs(works=effects(np.log(0.5), 0.0))  # a call halves the odds, a nudge does nothing
    row = candidates(1, monthly_revenue=[60.0], churn_probability=[0.5], incentive_cost_0=[10.0])
    action = {"planned_action": "call", "currency": "EUR"}
    limits = {
        "budget": 0.5,
        "offer call": 1.0,
        "channel phone": 0.25,
        "offer nudge": 0.0,
        "channel email": 0.0,
    }
    prices = read_prices(json.dumps(limits), inputs.offers, inputs.policy.touch_price)
    table = offers_table(
        row if isinstance(row, pa.RecordBatch) else row.to_batches()[0], inputs, action, prices
    )
    nudge, call, nothing = table.rows  # the call costs more than it brings
    worth = 30.0 + 0.5 * 30.0  # as in test_economics: p falls by a sixth, the call costs 12
    value = 0.5 / 3 * worth - 12.0
    assert call[2] == "33.3 %"
    assert call[3:5] == ("12.00", f"{value:.2f}")
    assert call[5] == f"{value - 0.5 * 12.0 - 1.0 - 0.25 - inputs.policy.touch_price:.2f}"
    assert nothing[:5] == ("No contact", "–", "50.0 %", "0.00", "0.00")
    assert table.rows[table.highlight or 0][-1] == "planned"
    assert nudge[-1] == ""


def test_limits_that_stay_ask_for_no_edit() -> None:
    budget, call = MonthLimit("budget", "EUR", 350.0, 0.0, 0.0), MonthLimit("offer", "call", 40.0, 3.0, 0.0)
    assert seed_edits({budget: 350.0, call: 40.0}, "demo") == []
    assert seed_edits({budget: 500.0, call: 20.0}, "demo") == [
        "seeds/demo/policy.csv: monthly_budget 500",
        "seeds/demo/offers.csv: monthly_capacity of call 20",
        "bayespilot run --source demo --selector decide",
    ]
    assert seed_edits({budget: 1_234_567.0, call: 2_000_000.0}, "demo")[:2] == [
        "seeds/demo/policy.csv: monthly_budget 1234567",
        "seeds/demo/offers.csv: monthly_capacity of call 2000000",
    ]
