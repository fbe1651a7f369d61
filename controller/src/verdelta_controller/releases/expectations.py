"""What a release says will be different on a host afterwards: which row, and the state that it may then have.

Pure.  An expectation names rows (a section, and a key that may be a pattern) and their state after the release; the
state before is no part of it, so that hosts which start from different versions are judged alike.
"""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from verdelta_agent.model import Row, canonical

from .versions import NoVersion, check_version, compare_versions

ANY = "any"
ABSENT = "absent"
_SHA256 = re.compile("[0-9a-f]{64}")
SHOWN = 80  # characters of a value in a sentence; a host may say anything

# No control characters, and none that are invisible or turn the direction of writing.
PRINTABLE = r"^[^\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]*$"
SECTION = r"^(hardware|software|system)(\.[a-z0-9][a-z0-9_-]*)+$"

Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=PRINTABLE)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=PRINTABLE)]
SectionName = Annotated[str, StringConstraints(max_length=100, pattern=SECTION)]
Scalar = StrictStr | StrictInt | StrictBool | None


class Strict(BaseModel):
    """A frozen model without unknown fields, whose optional fields are left out rather than given as null."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @field_validator("*", mode="before")
    @classmethod
    def _nothing_empty(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("empty; give it a value or leave it out")
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the schema without null, which a default of None would let in."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        for field in schema["properties"].values():
            if "default" in field and field["default"] is None:
                del field["default"]
                choices = [choice for choice in field.pop("anyOf") if choice != {"type": "null"}]
                field.update(choices[0] if len(choices) == 1 else {"anyOf": choices})
        return schema


def told_by(field: str, *kinds: str) -> Discriminator:
    """Return what tells the kinds of a union of models apart: the value of a field that each of them has."""

    def kind_of(value: Any) -> str | None:
        kind = value.get(field) if isinstance(value, Mapping) else getattr(value, field, None)
        return kind if isinstance(kind, str) else None

    return Discriminator(
        kind_of,
        custom_error_type="unknown_kind",
        custom_error_message=f"{field} has to be one of {', '.join(kinds)}",
        custom_error_context={"field": field, "kinds": ", ".join(kinds)},
    )


class Pattern(Strict):
    """Text in which * stands for any characters and ? for one; everything else for itself."""

    pattern: Key = Field(description="* stands for any characters, ? for one", examples=["1.*"])


class Range(Strict):
    """From at_least to at_most, both included: whole numbers, or versions in the order of the section."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": ["at_least"]}, {"required": ["at_most"]}],
            "oneOf": [
                {"properties": {"at_least": {"type": kind}, "at_most": {"type": kind}}}
                for kind in ("string", "integer")
            ],
        }
    )

    at_least: Text | StrictInt | None = Field(default=None, description="the lowest that may be", examples=["1.1"])
    at_most: Text | StrictInt | None = Field(default=None, description="the highest that may be", examples=["1.9"])

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        bounds = self.bounds()
        if not bounds:
            raise ValueError("a range needs at_least, at_most or both")
        if len({type(bound) for bound in bounds}) > 1:
            raise ValueError("at_least and at_most are a number and a text; a range has one kind of both")
        return self

    def bounds(self) -> list[str | int]:
        """Return the one or two bounds that are given."""
        return [bound for bound in (self.at_least, self.at_most) if bound is not None]


class OneOf(Strict):
    """One of several exact values."""

    one_of: list[Scalar] = Field(min_length=1, max_length=1000, description="the values", examples=[["1.1", "1.2"]])


def _kind_of_matcher(value: Any) -> str | None:
    if value is None or isinstance(value, str | bool | int | list):
        return "list" if isinstance(value, list) else "exact"
    given = value.model_fields_set if isinstance(value, Strict) else value if isinstance(value, Mapping) else ()
    kinds = (("pattern", "pattern"), ("one_of", "one_of"), ("at_least", "range"), ("at_most", "range"))
    return next((kind for name, kind in kinds if name in given), None)


Matcher = Annotated[
    Annotated[Scalar, Tag("exact")]
    | Annotated[list[Scalar], Tag("list")]
    | Annotated[Pattern, Tag("pattern")]
    | Annotated[Range, Tag("range")]
    | Annotated[OneOf, Tag("one_of")],
    Discriminator(_kind_of_matcher),
]
Fields = Annotated[
    dict[Text, Matcher], Field(min_length=1, max_length=200, json_schema_extra={"additionalProperties": False})
]


def _kind_of_state(value: Any) -> str:
    return "fields" if isinstance(value, Mapping) else "word"


After = Annotated[
    Annotated[Literal["any", "absent"], Tag("word")] | Annotated[Fields, Tag("fields")],
    Discriminator(_kind_of_state),
]


class Mismatch(NamedTuple):
    """What is not as authorised: the field ("" for the whole row), and what would have been."""

    field: str
    authorised: str


class Expectation(Strict):
    """A change that is declared, rehearsed or authorised: rows by section and key, and their state afterwards."""

    section: SectionName = Field(description="section of the snapshot", examples=["software.dpkg"])
    key: Key = Field(description="key of the row, exact or with * and ?", examples=["labapp:*"])
    after: After = Field(
        description="any, absent, or the fields that may change, each with the value that it then has: exact, "
        'any, {pattern: "1.*"}, {at_least: "1.1", at_most: "1.9"} or {one_of: ["1.1", "1.2"]}',
        examples=[{"version": "1.1"}, "any", "absent"],
    )
    on: Fields | None = Field(
        default=None,
        description="only on hosts whose operating system (section system.host, row os) has these values",
        examples=[{"id": "debian", "version_id": {"at_least": "12"}}],
    )

    @field_validator("after", "on", mode="after")
    @classmethod
    def _in_one_order(cls, fields: Any) -> Any:
        """A verdict words fields in the order that they have here, and no database has to keep its author's."""
        return dict(sorted(fields.items())) if isinstance(fields, dict) else fields

    @model_validator(mode="after")
    def _ranges_can_be_compared(self) -> Self:
        after = self.after if isinstance(self.after, dict) else {}
        for section, fields in ((self.section, after), ("system.host", self.on or {})):
            for name, matcher in fields.items():
                _check_range(section, name, matcher)
        return self

    def covers(self, section: str, key: str) -> bool:
        """Return whether a row is one of those that this is about."""
        return section == self.section and fits(self.key, key)

    def authorises(self, field: str) -> bool:
        """Return whether a row may differ in this field from what it was before."""
        return not isinstance(self.after, dict) or field in self.after

    def mismatches(self, row: Row | None) -> list[Mismatch]:
        """Return what of a row that is covered is not as authorised; None is a row that is not there (any more)."""
        if self.after == ANY:
            return []
        if isinstance(self.after, str):
            return [] if row is None else [Mismatch("", "to be absent")]
        if row is None:
            wanted = ", ".join(f"{name} {said(matcher)}" for name, matcher in self.after.items())
            return [Mismatch("", f"to be there with {wanted}")]
        return _mismatches(self.section, self.after, row)

    def document(self) -> dict[str, Any]:
        """Return this as the JSON that is stored and hashed; `Expectation.model_validate` takes it back."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def canonical(self) -> bytes:
        """Return the bytes that order and digest are made of."""
        return canonical(self.document())


def applicable(expectations: Iterable[Expectation], os_row: Row | None) -> list[Expectation]:
    """Return the expectations for a host with this operating system (section system.host, row os).

    A host whose row is not known keeps them all: nothing is left out because it could not be read.
    """
    return [
        expectation
        for expectation in expectations
        if expectation.on is None or os_row is None or not _mismatches("system.host", expectation.on, os_row)
    ]


def fits(pattern: str, text: str) -> bool:
    """Return whether a text fits: * stands for any characters, ? for one, everything else for itself."""
    return _compiled(pattern).match(text) is not None if is_pattern(pattern) else pattern == text


def is_pattern(text: str) -> bool:
    """Return whether a key names more than one row."""
    return "*" in text or "?" in text


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    # fnmatch makes atomic groups of it: no pattern is slow, whatever the host's keys look like.
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))


def said(value: Any) -> str:
    """Return a value, or what a matcher accepts, as it stands in a sentence."""
    if isinstance(value, Pattern):
        return value.pattern
    if isinstance(value, OneOf):
        return "one of " + _cut(", ".join(said(choice) for choice in value.one_of))
    if isinstance(value, Range):
        bounds = (("at least", value.at_least), ("at most", value.at_most))
        return ", ".join(f"{word} {said(bound)}" for word, bound in bounds if bound is not None)
    if isinstance(value, list):
        return _cut("[" + ", ".join(said(item) for item in value[:SHOWN]) + "]")
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else _cut(str(value)) or '""'


def _cut(text: str) -> str:
    """Return a text that fits into a sentence; of a SHA-256 its beginning, which tells it from any other."""
    if _SHA256.fullmatch(text):
        return text[:12] + "…"
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _check_range(section: str, name: str, matcher: Any) -> None:
    """Raise ValueError for a range of versions that no version of this section could be held against."""
    if not isinstance(matcher, Range):
        return
    bounds = matcher.bounds()
    try:
        for bound in bounds:
            if isinstance(bound, str):
                check_version(section, bound)
        if len(bounds) == 2 and _order(section, bounds[0], bounds[1]) > 0:
            raise ValueError(f"{name}: at_least {said(bounds[0])} is more than at_most {said(bounds[1])}")
    except NoVersion as error:
        raise ValueError(f"{name}: {error} in {section}") from error


def _mismatches(section: str, fields: Mapping[str, Any], row: Row) -> list[Mismatch]:
    found = ((name, _complaint(section, matcher, row, name)) for name, matcher in fields.items())
    return [Mismatch(name, complaint) for name, complaint in found if complaint is not None]


def _complaint(section: str, matcher: Any, row: Row, name: str) -> str | None:
    """Return None when the field is as authorised, else what would have been, and why this is not it."""
    if matcher == ANY:
        return None
    if name not in row:
        return said(matcher)
    value = row[name]
    if isinstance(matcher, Pattern):
        return None if isinstance(value, str) and fits(matcher.pattern, value) else said(matcher)
    if isinstance(matcher, Range):
        return _outside(section, matcher, value)
    choices = matcher.one_of if isinstance(matcher, OneOf) else [matcher]
    if any(_same(choice, value) for choice in choices):
        return None
    alike = any(said(choice) == said(value) for choice in choices)
    return f"{said(matcher)} ({_kind(choices[0])}; the host has {_kind(value)})" if alike else said(matcher)


def _outside(section: str, matcher: Range, value: Any) -> str | None:
    kind = type(matcher.bounds()[0])
    if type(value) is not kind:
        return f"{said(matcher)} ({_kind(matcher.bounds()[0])}; the host has {_kind(value)})"
    try:
        low = matcher.at_least is None or _order(section, matcher.at_least, value) <= 0
        high = matcher.at_most is None or _order(section, value, matcher.at_most) <= 0
    except NoVersion as error:
        return f"{said(matcher)} ({_cut(str(error))})"
    return None if low and high else said(matcher)


def _order(section: str, one: str | int, other: str | int) -> int:
    if isinstance(one, str) and isinstance(other, str):
        return compare_versions(section, one, other)
    return (int(one) > int(other)) - (int(one) < int(other))


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are equal and of one kind: to Python, True is 1 and 1 is 1.0."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and bool(one == other)


def _kind(value: Any) -> str:
    names = {str: "text", bool: "a truth value", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), "nothing" if value is None else "something else")
