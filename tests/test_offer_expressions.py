"""Conditions and costs of offers on an engine that has no function to read SQL: words are checked, then types."""

from __future__ import annotations

import pytest

pytest.importorskip("dbt.adapters.spark", reason="needs the extra spark: pip install -e '.[spark]'")

from dbt.adapters.sparksession.expressions import expression_problem

FEATURES = ("plan", "region", "monthly_fee", "tenure_days", "signed_up_on")
ALLOWED = ("round", "least", "date_trunc")
ONE_EXPRESSION = "must be one expression over columns of customer_features, without subqueries"


def problem(expression: str, kind: str = "condition", found: str = "boolean") -> str | None:
    return expression_problem(expression, kind, FEATURES, ALLOWED, yielded_type=lambda text: found)


@pytest.mark.parametrize(
    "expression",
    [
        "true",
        "plan = 'premium' and monthly_fee > 20",
        "plan in ('basic', 'standard') and not (tenure_days < 30)",
        "region = 'l''Aquila' or region = 'a -- b' or region = '/* ; select'",
        "least(round(monthly_fee, 0), 1.5e2) >= .5",
        "cast(monthly_fee as decimal(10, 2)) between 1 and 2",
        "case when (plan = 'basic') then true else false end",
        "DATE_TRUNC('month', signed_up_on) = date '2026-01-01'",
        "coalesce(monthly_fee, 0) % 2 = 0\n",
    ],
)
def test_conditions_over_columns_are_sound(expression: str) -> None:
    assert problem(expression) is None


@pytest.mark.parametrize(
    "expression",
    [
        "monthly_fee > (select 1)",
        "exists (select 1)",
        "true; drop table retention_actions",
        "true, true",
        "true) or (true",
        "(true",
        "true -- and false",
        "true /* and false */",
        "`monthly_fee` > 1",
        '"monthly_fee" > 1',
        "plan = 'basic\\'",
        "sum(monthly_fee) over () > 1",
        "true from customer_features",
        "plan[0] > 1",
        "plan:a > 1",
        "least(plan -> plan, 1) > 1",
    ],
)
def test_what_is_more_than_an_expression_of_a_row_is_refused(expression: str) -> None:
    assert problem(expression) == ONE_EXPRESSION


def test_other_functions_are_named_however_they_are_written() -> None:
    said = problem("RAND () > 0.5 and java_method('a', 'b') = 'c' and round(1) = 1")
    assert said == "calls what is not allowed: java_method, rand; allowed are round least date_trunc"


def test_a_name_that_is_no_feature_is_named_even_where_the_engine_knows_it() -> None:
    assert (
        problem("current_date > date '2026-01-01' or Monthly_Fee > _fee")
        == "names no feature: _fee, current_date"
    )


@pytest.mark.parametrize(
    ("expression", "is_sound"),
    [
        ("monthly_fee / tenure_days > 1", False),
        ("monthly_fee % -tenure_days > 1", False),
        ("monthly_fee / (tenure_days + 1) > 1", False),
        ("monthly_fee / least(tenure_days, 30) > 1", False),
        ("mod(least(1, 2), tenure_days) > 1", False),
        ("monthly_fee / 30 > tenure_days", True),
        ("monthly_fee / nullif(tenure_days, 0) > 1", True),
        ("mod(tenure_days, 7) = 0 and mod(tenure_days, nullif(monthly_fee, 0)) = 0", True),
        ("monthly_fee / (52.0 / 12) > 1", True),
        ("plan = 'a/tenure_days'", True),
    ],
)
def test_a_divisor_that_may_be_0_is_refused(expression: str, is_sound: bool) -> None:
    said = expression_problem(
        expression, "condition", FEATURES, (*ALLOWED, "mod", "nullif"), lambda text: "boolean"
    )
    assert (said is None) if is_sound else str(said).startswith("divides by a column")


@pytest.mark.parametrize(
    ("expression", "is_sound"),
    [
        ("ln(tenure_days)", False),
        ("ln(greatest(tenure_days, 0))", False),
        ("sqrt(ln(greatest(tenure_days, 1)))", False),
        ("ln(greatest(tenure_days, 1) - least(monthly_fee, 1))", False),
        ("ln(greatest(tenure_days, monthly_fee, 1))", False),
        ("ln(greatest(tenure_days, 1 - monthly_fee))", False),
        ("ln(greatest(tenure_days))", False),
        ("ln(greatest(tenure_days, 1, monthly_fee))", True),
        ("pow(monthly_fee, -1)", False),
        ("pow(tenure_days, monthly_fee)", False),
        ("LN (greatest(tenure_days, 1))", True),
        ("sqrt(greatest(monthly_fee, 0)) + sqrt(2) * tenure_days", True),
        ("pow(greatest(monthly_fee, 1.5), -0.5)", True),
        ("pow(round(monthly_fee, 0), 2) * pow(1.1, tenure_days)", True),
    ],
)
def test_a_logarithm_root_or_power_that_may_be_no_number_is_refused(expression: str, is_sound: bool) -> None:
    said = expression_problem(
        expression, "number", FEATURES, (*ALLOWED, "ln", "sqrt", "pow", "greatest"), lambda text: "double"
    )
    assert (said is None) if is_sound else str(said).startswith("takes ln, sqrt or a power")


def test_the_type_that_the_engine_finds_must_fit() -> None:
    assert problem("monthly_fee", found="double") == "must yield true or false"
    assert problem("monthly_fee", "number", "double") is None
    assert problem("0.2 * monthly_fee", "number", "decimal(12,2)") is None
    assert problem("plan", "number", "string") == "must yield a number"
    assert problem("date '2026-01-01'", "number", "date") == "must yield a number"


def test_what_the_engine_says_is_passed_on() -> None:
    def refused(text: str) -> str:
        raise ValueError("1 is no text")

    said = expression_problem("plan > 1", "condition", FEATURES, ALLOWED, refused)
    assert said == "cannot be evaluated: 1 is no text"


def test_what_is_refused_by_its_words_never_reaches_the_engine() -> None:
    def never(text: str) -> str:
        raise AssertionError(text)

    assert expression_problem("(select 1)", "condition", FEATURES, ALLOWED, never) == ONE_EXPRESSION
    assert str(expression_problem("rand()", "condition", FEATURES, ALLOWED, never)).startswith(
        "calls what is not allowed"
    )
