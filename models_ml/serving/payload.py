"""What a request must hold: a model made from the columns that the published run reads, and errors that name fields."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic.fields import FieldInfo

from models_ml.serving.deciding import Asked
from models_ml.serving.published_run import Input

MOST_CUSTOMERS = 1_000
SHOWN_FAULTS = 20
LONGEST_TEXT = 200

_WHOLE = {"TINYINT": 7, "SMALLINT": 15, "INTEGER": 31, "BIGINT": 53}  # bits; beyond 53 a double loses digits
_FAULTS = {
    "missing": "is missing",
    "extra_forbidden": "is not a feature of the deployed pipeline",
    "finite_number": "is not a finite number",
    "json_invalid": "is not valid JSON",
    "too_long": f"holds more than {MOST_CUSTOMERS:,} customers",
    "too_short": "holds no customer",
    "string_too_long": f"is longer than {LONGEST_TEXT} characters",
    "string_too_short": "is empty",
    "unknown_category": "is not a category that the pipeline or the published run knows",
    "repeated_customer": "is given twice in one request",
}


class PayloadError(Exception):
    """A request whose fields are wrong; ``fields`` names the first with their faults, never with a value.

    ``more`` is how many there are beside these.
    """

    def __init__(self, fields: Sequence[Mapping[str, str]], number: int | None = None) -> None:
        self.fields = list(fields[:SHOWN_FAULTS])
        self.more = (len(fields) if number is None else number) - len(self.fields)
        super().__init__(", ".join(f"{one['field']} {one['problem']}" for one in self.fields))


class Payload:
    """Reads the JSON of requests for one published run.

    Parameters
    ----------
    columns : sequence of Input
        What a customer's features must hold.
    examples : mapping of name to value
        Shown in the documentation of the interface.
    """

    def __init__(self, columns: Sequence[Input], examples: Mapping[str, Any]) -> None:
        self.features = _features_model(columns, examples)
        self.customer = create_model(
            "Customer",
            __config__=ConfigDict(extra="forbid", strict=True),
            customer_id=(
                Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_TEXT)],
                Field(description="As the warehouse holds it."),
            ),
            features=(
                self.features,
                Field(description="The customer as of now; null where nothing is known."),
            ),
        )
        many: Any = Annotated[list[self.customer], Field(min_length=1, max_length=MOST_CUSTOMERS)]  # type: ignore[name-defined]
        self._one: TypeAdapter[Any] = TypeAdapter(self.customer)
        self._many: TypeAdapter[Any] = TypeAdapter(many)
        self._names = [column.name for column in columns]
        self._known = {
            column.name: frozenset(column.categories) for column in columns if column.categories is not None
        }

    def read(self, body: bytes) -> tuple[list[Asked], bool]:
        """Return the customers of a request, and whether they came as a list.

        Raises
        ------
        PayloadError
            If a field is missing, unknown, of another type, not finite, outside the bounds that customer_features.yml
            declares, or holds a category that nobody knows.
        """
        is_list = body.lstrip()[:1] == b"["
        adapter = self._many if is_list else self._one
        try:
            found = adapter.validate_json(body)
        except ValidationError as error:
            raise PayloadError(_faults(error), error.error_count()) from None
        except ValueError:
            raise PayloadError([{"field": "body", "problem": "is not valid JSON"}]) from None
        asked = [
            Asked(one.customer_id, {name: getattr(one.features, name) for name in self._names})
            for one in (found if is_list else [found])
        ]
        self._refuse_unknown(asked, is_list=is_list)
        return asked, is_list

    def _refuse_unknown(self, asked: Sequence[Asked], *, is_list: bool) -> None:
        faults, seen = [], set()
        for at, one in enumerate(asked):
            where = f"{at}." if is_list else ""
            if one.customer_id in seen:
                faults.append({"field": f"{where}customer_id", "problem": _FAULTS["repeated_customer"]})
            seen.add(one.customer_id)
            faults += [
                {"field": f"{where}features.{name}", "problem": _FAULTS["unknown_category"]}
                for name, known in self._known.items()
                if one.features[name] is not None and one.features[name] not in known
            ]
        if faults:
            raise PayloadError(faults)


def _features_model(columns: Sequence[Input], examples: Mapping[str, Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for column in columns:
        kind = _type_of(column)
        described = column.words + (f", {column.unit}" if column.unit else "")
        field: FieldInfo = Field(
            description=described,
            examples=[examples[column.name]] if examples.get(column.name) is not None else None,
            json_schema_extra={"unit": column.unit, "sql_type": column.data_type}
            | ({"known_categories": list(column.categories)} if column.categories is not None else {}),
        )
        fields[column.name] = (kind | None if column.is_nullable else kind, field)
    return create_model("Features", __config__=ConfigDict(extra="forbid", strict=True), **fields)


def _type_of(column: Input) -> Any:  # noqa: ANN401 - a type, plain or annotated
    if column.data_type == "BOOLEAN":
        return bool
    if column.data_type == "VARCHAR":
        return Annotated[str, StringConstraints(max_length=LONGEST_TEXT)]
    if column.data_type in _WHOLE:
        most = 2 ** _WHOLE[column.data_type] - 1
        least = -most if column.minimum is None else math.ceil(column.minimum)
        return Annotated[
            int, Field(ge=least, le=most if column.maximum is None else math.floor(column.maximum))
        ]
    return Annotated[float, Field(allow_inf_nan=False, ge=column.minimum, le=column.maximum)]


def _faults(error: ValidationError) -> list[dict[str, str]]:
    """Return each wrong field with what is wrong, without the value."""
    found = []
    for one in error.errors(include_url=False, include_context=False, include_input=False)[:SHOWN_FAULTS]:
        field = ".".join(str(part)[:LONGEST_TEXT] for part in one["loc"]) or "body"
        found.append({"field": field, "problem": _FAULTS.get(one["type"], _plain(one["type"], one["msg"]))})
    return found


def _plain(kind: str, message: str) -> str:
    """Return a fault in words; messages of pydantic that quote a value are cut."""
    if kind.endswith(("_type", "_parsing")) or kind == "int_from_float":
        return message.split(",")[0].replace("Input should be", "is not")
    beyond = {"less_than_equal": "above", "greater_than_equal": "below"}.get(kind)
    return f"is {beyond} {message.rsplit(' ', 1)[1]}" if beyond else "is not as declared"
