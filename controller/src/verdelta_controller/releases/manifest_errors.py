"""What is wrong with a manifest, in the words of its author: the line, the field, and the nearest right one."""

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError

from ..foundation.errors import InvalidInput
from .expectations import OneOf, Pattern, Range
from .located_yaml import Located, Path

SHOWN = 20  # problems of one manifest; more of them help nobody

_IN_WORDS = {
    "release": "small letters, digits and . _ + -, beginning with a letter or digit",
    "version": "letters, digits and . _ + ~ -, beginning with a letter or digit",
    "section": "hardware.…, software.… or system.…, in small letters",
    "artifact": 'a path inside the release folder: relative, without "..", no part beginning with a dot',
    "playbook": 'a path inside the release folder: relative, without "..", no part beginning with a dot',
    "sha256": "64 small hexadecimal digits",
    "with": "a name of letters, digits and _, not beginning with a digit",
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
            lines.append(f"{name}: {len(self.problems) - SHOWN} more problems")
        super().__init__("\n".join(lines))


def quoted(text: object) -> str:
    """Return text in quotes, on one line, at most 60 characters of it, with nothing that a terminal acts on."""
    shown = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in str(text)[:60])
    return f'"{shown}…"' if len(str(text)) > 60 else f'"{shown}"'


def problems_of(error: ValidationError, document: Located, model: type[BaseModel]) -> list[Problem]:
    """Return the first problem of each place in the document that the model does not take."""
    found: dict[Path, Problem] = {}
    for detail in error.errors(include_url=False):
        path = _path(detail["loc"], document.value)
        missing = (detail["loc"][-1],) if detail["type"] == "missing" else ()
        text = _text(detail, path, document, model)
        found.setdefault((*path, *missing), Problem(document.line(path), text))
    return list(found.values())


def _path(loc: Sequence[str | int], value: Any) -> Path:
    """Return where in the document an error is: pydantic's location without the names of its choices."""
    path: Path = ()
    for step in loc:
        inside = step in value if isinstance(value, dict) else isinstance(value, list) and isinstance(step, int)
        if inside:
            path, value = (*path, step), value[step]
    return path


def _text(detail: Any, path: Path, document: Located, model: type[BaseModel]) -> str:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    name = path[-1] if path and isinstance(path[-1], str) else _place(path)
    if kind == "extra_forbidden":
        return _unknown("field", name, _fields_at(path[:-1], given_in(document, path[:-1]), model), _place(path[:-1]))
    if kind == "missing":
        return f'field "{detail["loc"][-1]}" is missing in {_place(path)}'
    if kind in ("literal_error", "enum"):
        choices = [word for word in context["expected"].replace(" or ", ", ").replace("'", "").split(", ") if word]
        return _unknown(str(name), given, choices, _place(path[:-1]))
    if kind == "union_tag_not_found":
        return _no_matcher(str(name), given, document.written.get(path), path)
    if kind in ("too_short", "string_too_short"):
        return f"{name} is empty{_purpose(path)}"
    if kind in ("too_long", "string_too_long"):
        return f"{name} is too long: at most {context['max_length']}"
    if kind == "string_pattern_mismatch":
        return f"{name} {quoted(given)} is not {_rule(path)}"
    if kind == "value_error":
        return f"{context['error']}, in {_place(path)}" if path else str(context["error"])
    if kind in _WANTED:
        return _wrong_kind(name, _WANTED[kind], given, document.written.get(path))
    return f"{name}: {detail['msg']}"


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
    mend = f"; write {quoted(written or given)} in quotes" if wanted == "text" and isinstance(given, int | float) else ""
    return f"{name} is {_KINDS.get(type(given), 'something else')}, and has to be {wanted}{mend}"


def _no_matcher(name: str, given: Any, written: str | None, path: Path) -> str:
    """A field of `after` or `on` whose value is neither exact nor a matcher."""
    if isinstance(given, float):
        return f"{name} {written} is a number with a fraction, which no row has; write {quoted(written)} in quotes"
    names = [field for kind in (Pattern, Range, OneOf) for field in kind.model_fields]
    if isinstance(given, dict) and given:
        return _unknown("field", next(iter(given)), names, _place(path))
    return f"{name} in {_place(path[:-1])} has to be a value, or one of {', '.join(names)}"


def _unknown(what: str, given: object, known: Sequence[str], where: str) -> str:
    near = difflib.get_close_matches(str(given), known, n=1, cutoff=0.5)
    mend = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(known)}"
    return f"unknown {what} {quoted(given)} in {where}; {mend}"


def _purpose(path: Path) -> str:
    return {
        ("changes",): ": a release that changes nothing cannot be verified",
        ("after",): ': name a field, or say "any" or "absent"',
    }.get(path[-1:], "")


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
    singular = {"components": "component", "changes": "change"}
    words: list[str] = []
    for step, inner in zip(path, (*path[1:], None), strict=True):
        if isinstance(step, str) and isinstance(inner, int) and step in singular:
            words.append(f"{singular[step]} {inner + 1}")
        elif isinstance(step, str):
            words.append(quoted(step)[1:-1])
    return " of ".join(reversed(words)) or "the manifest"


def given_in(document: Located, path: Path) -> Any:
    """Return the value at a path that is in the document."""
    value = document.value
    for step in path:
        value = value[step]
    return value


def _fields_at(path: Path, given: Mapping[str, Any], model: type[BaseModel]) -> list[str]:
    """Return the names that are known at a path: of the model's own fields there, or of the matcher that was begun."""
    for step in path:
        if isinstance(step, int):
            continue
        inner = model.model_fields.get(step)
        models = _models_in(inner.annotation) if inner else []
        if not models:
            return sorted({name for kind in (Pattern, Range, OneOf) for name in kind.model_fields} - set(given))
        model = models[0]
    return [field.alias or name for name, field in model.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the model of a field, of the items of a list, or of one that may be left out."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if getattr(annotation, "__origin__", None) is dict:
        return []
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
