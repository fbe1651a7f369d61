"""What is wrong with a manifest, in the words of its author: the line, the field, and the nearest right one."""

import difflib
import json
import re
from collections.abc import Collection, Sequence
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ..foundation.errors import InvalidInput
from .expectations import OneOf, Pattern, Range
from .located_yaml import Located, Path

SHOWN = 20  # problems of one manifest; more of them help nobody, and each costs a search for the nearest name

_IN_WORDS = {
    "release": "small letters, digits and . _ + -, beginning with a letter or digit",
    "version": "letters, digits and . _ + ~ -, beginning with a letter or digit",
    "section": "hardware.…, software.… or system.…, in small letters",
    "artifact": 'a path inside the release folder: relative, without "..", no part beginning with a dot',
    "playbook": 'a path inside the release folder: relative, without "..", no part beginning with a dot',
    "files": 'a path inside the release folder: relative, without "..", no part beginning with a dot',
    "support_until": "a day such as 2031-06-30",
    "sha256": "64 small hexadecimal digits",
    "with": "a name of letters, digits and _, not beginning with a digit",
}
_SINGULAR = {
    "components": "component",
    "changes": "change",
    "tests": "test",
    "specification": "line",
    "acceptance": "criterion",
    "known_errors": "known error",
}
_KINDS = {str: "text", bool: "a truth value", int: "a number", float: "a number", list: "a list", dict: "a mapping"}


class Problem(NamedTuple):
    """One thing that is wrong, and its line."""

    line: int
    text: str


class ManifestError(InvalidInput):
    """The manifest of the release is not valid."""

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        lines = [f"{name}:{problem.line}: {problem.text}" for problem in self.problems[:SHOWN]]
        if len(self.problems) > SHOWN:
            lines.append(f"{name}: and more problems")
        super().__init__("\n".join(lines))


def quoted(text: object) -> str:
    """Return text in quotes, on one line, at most 60 characters of it, with nothing that a terminal acts on."""
    shown = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in str(text)[:60])
    return f'"{shown}…"' if len(str(text)) > 60 else f'"{shown}"'


def problems_of(
    error: ValidationError, document: Located, model: type[BaseModel], sections: Collection[str] = ()
) -> list[Problem]:
    """Return the first problem of each place in the document that the model does not take.

    `sections` are the known names of sections, for the nearest one.
    """
    found: dict[Path, Problem] = {}
    meant: set[Path] = set()  # fields that are there under a wrong name: not missing as well
    for detail in error.errors(include_url=False):
        path = _path(detail["loc"], document.value)
        here = (*path, detail["loc"][-1]) if detail["type"] == "missing" else path
        if detail["type"] == "extra_forbidden":
            meant.update((*path[:-1], name) for name in _nearest(path[-1], _fields_at(path[:-1], document, model)))
        if here not in found:
            found[here] = Problem(document.line(path), _text(detail, path, document, model, sections))
        if len(found) > 2 * SHOWN:
            break
    whole = f"the {model.__name__.lower()}"
    return [
        Problem(problem.line, problem.text.replace("the manifest", whole))
        for path, problem in found.items()
        if path not in meant
    ]


def _path(loc: Sequence[str | int], value: Any) -> Path:
    """Return where in the document an error is: pydantic's location without the names of its choices."""
    path: Path = ()
    for step in loc:
        inside = step in value if isinstance(value, dict) else isinstance(value, list) and isinstance(step, int)
        if inside:
            path, value = (*path, step), value[step]
    return path


def _text(detail: Any, path: Path, document: Located, model: type[BaseModel], sections: Collection[str]) -> str:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    name, where = _place(path[-1:] if path and isinstance(path[-1], str) else path), _place(path[:-1])
    if kind == "extra_forbidden":
        return _unknown("field", path[-1], _fields_at(path[:-1], document, model), where)
    if kind == "missing":
        return f'field "{detail["loc"][-1]}" is missing in {_place(path)}'
    if kind in ("literal_error", "enum") and isinstance(given, str):
        return _unknown(name, given, re.findall("'([^']*)'", context["expected"]), where)
    if kind == "unknown_kind":
        return _no_kind(given, context["field"], context["kinds"].split(", "), path)
    if kind == "union_tag_not_found":
        return _no_matcher(name, given, document.written.get(path), path)
    if kind in ("too_short", "string_too_short"):
        return f"{name} is empty{_purpose(path)}"
    if kind in ("too_long", "string_too_long"):
        return f"{name} is too long: at most {context['max_length']}"
    if kind == "string_pattern_mismatch":
        if path[-1] == "section" and _nearest(given, sections):
            return _unknown("section", given, sections, where)
        return f"{name + ' ' if given != path[-1] else ''}{quoted(given)} is not {_rule(path)}"
    if kind == "value_error":
        error = str(context["error"])
        return f"{name} is {error}" if error.startswith("empty;") else f"{error}, in {_place(path)}"
    wanted = _WANTED.get(kind) or (f"one of {context['expected']}" if "expected" in context else None)
    return _wrong_kind(name, wanted, given, document.written.get(path)) if wanted else f"{name}: {detail['msg']}"


_WANTED = {
    "string_type": "text",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "int_type": "a number",
    "bool_type": "a truth value",
}


def _wrong_kind(name: object, wanted: str, given: Any, written: str | None) -> str:
    if given is None:
        return f"{name} is empty; it has to be {wanted}"
    mend = (
        f"; write {quoted(written or given)} in quotes" if wanted == "text" and isinstance(given, int | float) else ""
    )
    return f"{name} is {_KINDS.get(type(given), 'something else')}, and has to be {wanted}{mend}"


def _no_matcher(name: str, given: Any, written: str | None, path: Path) -> str:
    """A field of `after` or `on` whose value is neither exact nor a matcher."""
    if isinstance(given, float):
        return f"{name} {written} is a number with a fraction, which no row has; write {quoted(written)} in quotes"
    names = [field for kind in (Pattern, Range, OneOf) for field in kind.model_fields]
    if isinstance(given, dict) and given:
        return _unknown("field", next(iter(given)), names, _place(path))
    return f"{name} in {_place(path[:-1])} has to be a value, or one of {', '.join(names)}"


def _no_kind(given: Any, field: str, kinds: Collection[str], path: Path) -> str:
    """One of several models, which does not say which, or says one that there is not."""
    said = given.get(field) if isinstance(given, dict) else None
    if isinstance(said, str):
        return _unknown(field, said, kinds, _place(path))
    return f'field "{field}" is missing in {_place(path)}; one of {", ".join(kinds)}'


def _unknown(what: str, given: object, known: Collection[str], where: str) -> str:
    near = _nearest(given, known)
    mend = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(known)}"
    return f"unknown {what} {quoted(given)} in {where}; {mend}"


def _nearest(given: object, known: Collection[str]) -> list[str]:
    return difflib.get_close_matches(str(given)[:100], known, n=1)


def _purpose(path: Path) -> str:
    return {
        "changes": ": a release that changes nothing cannot be verified",
        "after": ': name a field, or say "any" or "absent"',
    }.get(str(path[-1]), "")


def _rule(path: Path) -> str:
    """Return the rule of a text in words."""
    names = [step for step in path if isinstance(step, str)]
    if len(names) > 1 and names[-2] == "with":
        return _IN_WORDS["with"]
    if names[-1] == "version" and len(names) > 1:
        return "printable text"
    return _IN_WORDS.get(names[-1], "printable text") if names else "printable text"


def _place(path: Path) -> str:
    """Return a place in words: the manifest, change 3, install, after of change 3."""
    words: list[str] = []
    for step in path:
        if isinstance(step, str):
            words.append(quoted(step)[1:-1])
        elif words and words[-1] in _SINGULAR:
            words[-1] = f"{_SINGULAR[words[-1]]} {step + 1}"
        else:
            words.append(f"item {step + 1}")
    return " of ".join(reversed(words)) or "the manifest"


def _fields_at(path: Path, document: Located, model: type[BaseModel]) -> list[str]:
    """Return the names that could still be given at a path: of the model there, or of the matchers."""
    given, annotation = document.value, model
    for step in path:
        given, annotation = given[step], _inside(annotation, step, given[step])
    models = [found for found in _models_in(annotation) if _is_meant(found, given)] or [Pattern, Range, OneOf]
    names = [field.alias or name for model in models for name, field in model.model_fields.items()]
    return [name for name in names if name not in given]


def _inside(annotation: Any, step: str | int, given: Any) -> Any:
    """Return the type of what is found one step further in: of a field, of a mapping's value, of a list's item."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.model_fields[str(step)].annotation if step in annotation.model_fields else None
    if get_origin(annotation) in (dict, list):
        return get_args(annotation)[-1]
    choices = (_inside(inner, step, given) for inner in get_args(annotation))
    return next((choice for choice in choices if choice is not None), None)


def _is_meant(model: type[BaseModel], given: Any) -> bool:
    """Return whether a model of several is the one meant: its word for its kind is the one that was given."""
    fields = model.model_fields.items()
    kinds = {name: get_args(field.annotation) for name, field in fields if get_origin(field.annotation) is Literal}
    told = {name: given[name] for name in kinds if name in given and len(kinds[name]) == 1}
    return all(value in kinds[name] for name, value in told.items())


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that a value may be of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (dict, list):
        return []
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
