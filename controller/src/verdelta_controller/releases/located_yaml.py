"""YAML as plain values, with the line that each of them stands on, so that an error can name it.

Source of the format: YAML 1.2.2 with its core schema (https://yaml.org/spec/1.2.2/, chapter 10.3), read from libyaml's
events: `yes`, `on` and 2026-11-02 are text.  Stricter than the format, because what is released must not depend on who
reads it: one document, no anchors, aliases or tags (so nothing can expand), no key twice, and a number has to read
back as it is written (1.10, 0644 and 1e3 do not).
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

LIMIT = 1024 * 1024  # bytes of a text
DEPTH = 20
DIGITS = 18  # of a whole number; more do not fit the 64 bits of every other reader

Path = tuple[str | int, ...]

_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is 20 times faster; both yield the same events
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NUMBER = re.compile(
    r"[-+]?[0-9]+ | 0o[0-7]+ | 0x[0-9a-fA-F]+"
    r"| [-+]?(\.[0-9]+ | [0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? | [-+]?\.(inf|Inf|INF) | \.(nan|NaN|NAN)",
    re.VERBOSE,
)


class YamlProblem(ValueError):
    """The text is not YAML as it is read here; `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        self.line = line
        super().__init__(message)


class Located(NamedTuple):
    """A document: its plain values, the line of every path in it, and the numbers as they were written."""

    value: Any
    lines: dict[Path, int]
    written: dict[Path, str]

    def line(self, path: Path) -> int:
        """Return the line of a path, or of the nearest thing around it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read(text: str) -> Located:
    """Return the one document in `text`.  Raises YamlProblem."""
    if len(text.encode("utf-8", "surrogatepass")) > LIMIT:
        raise YamlProblem(1, f"larger than {LIMIT // 1024} KiB")
    try:
        return _Reader(yaml.parse(text, Loader=_PARSER)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlProblem(mark.line + 1 if mark else 1, error.problem or "not YAML") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else 1
        raise YamlProblem(line, f"a character that YAML does not allow: {error.reason}") from error
    except UnicodeEncodeError as error:
        raise YamlProblem(text.count("\n", 0, error.start) + 1, "a character that is no Unicode text") from error


class _Reader:
    """Builds values from a stream of events; the depth is capped, and libyaml itself does not recurse."""

    def __init__(self, events: Iterator[Any]) -> None:
        self.events = events
        self.lines: dict[Path, int] = {}
        self.written: dict[Path, str] = {}

    def document(self) -> Located:
        value: Any = None
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise YamlProblem(_line(event), "a second document; only one is read")
                value = self._value(next(self.events), ())
        return Located(value, self.lines, self.written)

    def _value(self, event: Any, path: Path) -> Any:
        self.lines.setdefault(path, _line(event))
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise YamlProblem(_line(event), "anchors and aliases are not read; write the value out")
        if event.tag is not None:
            raise YamlProblem(_line(event), f"tags such as {_shown_tag(event.tag)} are not read; write text in quotes")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if len(path) >= DEPTH:
            raise YamlProblem(_line(event), f"nested more than {DEPTH} deep")
        return self._mapping(path) if isinstance(event, yaml.MappingStartEvent) else self._sequence(path)

    def _sequence(self, path: Path) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            values.append(self._value(event, (*path, len(values))))
        return values

    def _mapping(self, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = _key(event)
            here = (*path, key)
            if key in values:
                raise YamlProblem(_line(event), f'"{key[:60]}" is there twice; the first is in line {self.lines[here]}')
            self.lines[here] = _line(event)
            values[key] = self._value(next(self.events), here)
        return values

    def _scalar(self, event: yaml.ScalarEvent, path: Path) -> str | int | float | bool | None:
        text = str(event.value)
        plain = event.implicit[0]
        if not plain:
            return text
        if text in _NULL:
            return None
        if text in _BOOLEAN:
            return _BOOLEAN[text]
        if not _NUMBER.fullmatch(text):
            return text
        self.written[path] = text
        return _number(text, _line(event))


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _key(event: Any) -> str:
    """Return a key as it is written: `on` and `1.10` are keys like any other."""
    if not isinstance(event, yaml.ScalarEvent) or event.anchor is not None or event.tag is not None:
        raise YamlProblem(_line(event), "a key has to be plain text, without anchor, alias or tag")
    return str(event.value)


def _number(text: str, line: int) -> int | float:
    """Return the number, if every reader takes it for this one."""
    try:
        number = int(text) if text.lstrip("-").isdigit() and len(text) <= DIGITS else float(text)
    except ValueError:  # 0x1f, 0o17, .inf: a number to some readers of YAML and not to others
        number = float("nan")
    if str(number) != text:
        raise YamlProblem(
            line, f'{text[:60]} is not read as a number everywhere the same; write "{text[:60]}" in quotes'
        )
    return number


def _shown_tag(tag: str) -> str:
    """Return a tag as it is usually written: !!str for tag:yaml.org,2002:str."""
    standard = "tag:yaml.org,2002:"
    return (tag.replace(standard, "!!", 1) if tag.startswith(standard) else tag)[:60]
