"""Descriptions of columns that models pass on: where they are taken from, and when they are not."""

from __future__ import annotations

from typing import Any

import pytest

from models_ml.docs import describe_passed_on


def artifacts(**models: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return manifest and catalog of models, given by what they read, their columns, and what YAML says of these."""
    nodes = {
        f"model.shop.{name}": {
            "name": name,
            "resource_type": "model",
            "columns": {
                column: {"name": column, "description": text, "meta": {"role": "numeric"}}
                for column, text in model.get("says", {}).items()
            },
            "config": {"meta": {"generated_columns": model.get("patterns", {})}},
            "depends_on": {"nodes": [f"model.shop.{read}" for read in model.get("reads", [])]},
        }
        for name, model in models.items()
    }
    nodes["test.shop.unique"] = {"resource_type": "test", "name": "unique"}
    catalog: dict[str, Any] = {
        f"model.shop.{name}": {"columns": {column.upper(): {} for column in model["has"]}}
        for name, model in models.items()
    }
    return {"nodes": nodes, "sources": {}}, {"nodes": catalog, "sources": {}}


def said(manifest: dict[str, Any], model: str, column: str) -> str | None:
    return manifest["nodes"][f"model.shop.{model}"]["columns"].get(column, {}).get("description")


def test_a_text_comes_down_from_the_model_that_describes_the_column() -> None:
    manifest, catalog = artifacts(
        orders={"has": ["amount"], "says": {"amount": "Money."}},
        valid_orders={"has": ["amount"], "reads": ["orders"]},
        report={"has": ["amount", "currency"], "reads": ["valid_orders"], "says": {"currency": "ISO code."}},
    )
    assert describe_passed_on(manifest, catalog) == []
    assert said(manifest, "valid_orders", "amount") == said(manifest, "report", "amount") == "Money."
    assert manifest["nodes"]["model.shop.report"]["columns"]["amount"]["meta"] == {"described_by": "orders"}
    assert manifest["nodes"]["model.shop.report"]["columns"]["currency"]["meta"] == {"role": "numeric"}


def test_a_listed_column_without_a_text_keeps_its_meta() -> None:
    manifest, catalog = artifacts(
        orders={"has": ["amount"], "says": {"amount": "Money."}},
        report={"has": ["amount"], "reads": ["orders"], "says": {"amount": ""}},
    )
    assert describe_passed_on(manifest, catalog) == []
    meta = manifest["nodes"]["model.shop.report"]["columns"]["amount"]["meta"]
    assert meta == {"role": "numeric", "described_by": "orders"}


def test_a_model_below_a_face_in_sql_is_described_by_the_face() -> None:
    manifest, catalog = artifacts(
        fitted={"has": ["auc"]}, face={"has": ["auc"], "reads": ["fitted"], "says": {"auc": "Area."}}
    )
    assert describe_passed_on(manifest, catalog) == []
    assert said(manifest, "fitted", "auc") == "Area."


def test_what_a_model_reads_goes_before_what_reads_it() -> None:
    manifest, catalog = artifacts(
        orders={"has": ["status"], "says": {"status": "Of the order."}},
        middle={"has": ["status"], "reads": ["orders"]},
        report={"has": ["status"], "reads": ["middle"], "says": {"status": "Of the report."}},
    )
    assert describe_passed_on(manifest, catalog) == []
    assert said(manifest, "middle", "status") == "Of the order."


@pytest.mark.parametrize(("second", "left"), [("Day it was paid.", ["both.day"]), ("Day of the row.", [])])
def test_a_name_with_two_meanings_has_to_be_described(second: str, left: list[str]) -> None:
    manifest, catalog = artifacts(
        orders={"has": ["day"], "says": {"day": "Day of the row."}},
        payments={"has": ["day"], "says": {"day": second}},
        both={"has": ["day"], "reads": ["orders", "payments"]},
    )
    assert describe_passed_on(manifest, catalog) == left
    assert said(manifest, "both", "day") == (None if left else "Day of the row.")


def test_generated_columns_are_described_by_their_pattern_there_and_further_on() -> None:
    manifest, catalog = artifacts(
        costs={
            "has": ["cost_0", "cost_1", "id"],
            "patterns": {"cost_*": "Money per contact."},
            "says": {"id": "Key."},
        },
        offers={"has": ["cost_1"], "reads": ["costs"]},
    )
    assert describe_passed_on(manifest, catalog) == []
    assert said(manifest, "costs", "cost_0") == said(manifest, "offers", "cost_1") == "Money per contact."
    assert said(manifest, "costs", "id") == "Key."


def test_what_nothing_describes_is_named_and_left_empty() -> None:
    manifest, catalog = artifacts(
        orders={"has": ["amount"]}, other={"has": ["sum"], "says": {"sum": "Total."}}
    )
    assert describe_passed_on(manifest, catalog) == ["orders.amount"]
    assert said(manifest, "orders", "amount") is None
