"""The manifest of a release: what is taken, what is refused, and in which words."""

import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from verdelta_controller.foundation.errors import InvalidInput, NotFound
from verdelta_controller.releases import located_yaml
from verdelta_controller.releases.manifest import (
    Manifest,
    ManifestError,
    digest_of,
    load_manifest,
    manifest_schema,
    resolve_inside,
)

GOOD = """\
release: labapp
version: "1.1"
type: minor
service: lab
components:
  - {kind: external-software, manager: deb, package: labapp, version: "1.1"}
install:  {playbook: install_packages.yml}
back_out: {playbook: install_packages.yml, with: {version: "1.0"}}
changes:                                    # declared: what is different on a host afterwards
  - {section: software.dpkg, key: "labapp:*", after: {version: "1.1"}}
  - {section: system.units,  key: labapp.service, after: {enabled: enabled}}
  - {section: system.files,  key: /etc/labapp.conf, after: any, on: {id: debian}}
"""
SECTIONS = ("software.dpkg", "software.rpm", "system.units", "system.files")
AFTER = '{version: "1.1"}}\n  - {section: system.units'  # the state of the first change, and where it ends


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def after(state: str) -> str:
    return changed(AFTER, state + "}\n  - {section: system.units")


def refusal(text: str) -> str:
    with pytest.raises(ManifestError) as caught:
        load_manifest(text, sections=SECTIONS)
    return str(caught.value)


def test_a_manifest_is_read_as_it_is_meant() -> None:
    manifest = load_manifest(GOOD, sections=SECTIONS)
    assert (manifest.release, manifest.version, manifest.type.value, manifest.service) == (
        "labapp",
        "1.1",
        "minor",
        "lab",
    )
    assert manifest.components[0].package == "labapp"
    assert manifest.back_out is not None
    assert manifest.back_out.variables == {"version": "1.0"}
    assert [change.after for change in manifest.changes] == [{"version": "1.1"}, {"enabled": "enabled"}, "any"]
    assert manifest.changes[2].on == {"id": "debian"}


def test_a_manifest_comes_back_from_its_document() -> None:
    manifest = load_manifest(GOOD)
    assert Manifest.model_validate(manifest.document()) == manifest


REFUSED = [
    (changed("changes:", "chnages:"), '9: unknown field "chnages" in the manifest; did you mean "changes"?'),
    (changed("playbook", "playbok"), '7: unknown field "playbok" in install; did you mean "playbook"?'),
    (changed("with:", "wiht:"), '8: unknown field "wiht" in back_out; did you mean "with"?'),
    (changed("package: labapp", "pakage: labapp"), '6: unknown field "pakage" in component 1; did you mean "package"?'),
    (changed("minor", "minr"), '3: unknown type "minr" in the manifest; did you mean "minor"?'),
    (
        changed("external-", "externl-"),
        '6: unknown kind "externl-software" in component 1; did you mean "external-software"?',
    ),
    (changed("service: lab\n", ""), '1: field "service" is missing in the manifest'),
    (changed("service: lab", "service:"), "4: service is empty; give it a value or leave it out"),
    (changed('"1.1"\n', "1.1\n"), '2: version is a number, and has to be text; write "1.1" in quotes'),
    (
        changed('"1.1"\n', "1.10\n"),
        '2: 1.10 is not read as a number everywhere the same; write "1.10" in quotes',
    ),
    (changed('key: "labapp:*"', "key: 22"), '10: key is a number, and has to be text; write "22" in quotes'),
    (changed("{playbook: install_packages.yml}", "run.yml"), "7: install is text, and has to be a mapping"),
    (
        changed("with: {", "with: [{").replace("}}\nchanges", "}]}\nchanges"),
        "8: with is a list, and has to be a mapping",
    ),
    (
        changed('{version: "1.0"}', "{ansible_connection: local}"),
        "8: ansible_connection cannot be set by a release: how hosts are reached is the inventory's to say,"
        " in with of back_out",
    ),
    (changed("package: labapp, ", ""), "6: name and package are missing; give one of them, in component 1"),
    (
        changed("package: labapp, ", "name: labapp, "),
        "6: package is missing: the name by which deb knows it, in component 1",
    ),
    (
        changed("manager: deb", "manager: archive"),
        "6: artifact is missing: the file that manager archive installs, in component 1",
    ),
    (after("{version: 1.1}"), '10: version 1.1 is a number with a fraction, which no row has; write "1.1" in quotes'),
    (
        after("{version: {patern: 1}}"),
        '10: unknown field "patern" in version of after of change 1; did you mean "pattern"?',
    ),
    (
        after("{version: {at_least: 1, at_mots: 2}}"),
        '10: unknown field "at_mots" in version of after of change 1; did you mean "at_most"?',
    ),
    (
        after("{version: {}}"),
        "10: version in after of change 1 has to be a value, or one of pattern, at_least, at_most, one_of",
    ),
    (
        after('{version: {at_least: "2", at_most: "1"}}'),
        "10: version: at_least 2 is more than at_most 1, in change 1",
    ),
    (
        after('{version: {at_least: "a b"}}'),
        '10: version: "a b" is no version that can be ordered in software.dpkg, in change 1',
    ),
    (
        after('{version: {at_least: 1, at_most: "2"}}'),
        "10: at_least and at_most are a number and a text; a range has one kind of both, in version of after",
    ),
    (after("{version: {one_of: []}}"), "10: one_of is empty"),
    (after("{}"), '10: after is empty: name a field, or say "any" or "absent"'),
    (after("ayn"), '10: unknown after "ayn" in change 1; did you mean "any"?'),
    (after("[any]"), "10: after is a list, and has to be one of 'any' or 'absent'"),
    (
        changed("software.dpkg", "sofware.dpkg"),
        '10: unknown section "sofware.dpkg" in change 1; did you mean "software.dpkg"?',
    ),
    (
        changed("software.dpkg", "software.dpgk"),
        '10: unknown section "software.dpgk" in change 1; did you mean "software.dpkg"?',
    ),
    (
        changed("software.dpkg", "system.weather"),
        '10: unknown section "system.weather" in change 1; no agent reports it',
    ),
    (
        changed("section: system.units,  key: labapp.service", 'section: software.dpkg, key: "labapp:*"'),
        "11: change 2 repeats section and key of line 10; leave one of them",
    ),
    (
        GOOD.partition("changes:")[0] + "changes: []\n",
        "9: changes is empty: a release that changes nothing cannot be verified",
    ),
    (changed("release: labapp", "release: &name labapp"), "1: anchors and aliases are not read; write the value out"),
    (
        changed("service: lab", "service: !!python/object/apply:os.system [id]"),
        "4: tags such as !!python/object/apply:os.system are not read; write text in quotes",
    ),
    (changed("service: lab", "service: lab\nservice: lab"), '5: "service" is there twice; the first is in line 4'),
    (changed("service: lab", "service: [lab"), "5: did not find expected ',' or ']'"),
    (changed("service: lab", 'service: "\\e[2Jlab"'), '4: service "\\u001b[2Jlab" is not printable text'),
    (changed("service: lab", 'service: "bal\\u202e"'), '4: service "bal\\u202e" is not printable text'),
    (changed("release: labapp", "release: Lab/app"), '1: release "Lab/app" is not small letters, digits and . _ + -,'),
    (changed('"1.1"\n', '"../1"\n'), '2: version "../1" is not letters, digits and . _ + ~ -,'),
    (GOOD + "---\n" + GOOD, "13: a second document; only one is read"),
    ("", "1: the manifest is empty; it has to be a mapping"),
    ("[]", "1: the manifest is a list, and has to be a mapping"),
    ("{[a]: 1}", "1: a key has to be plain text, without anchor, alias or tag"),
    ("release: \x1b", "1: a character that YAML does not allow: control characters are not allowed"),
    ("a: 1\nrelease: \ud800", "2: a character that is no Unicode text"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[said[:60] for _, said in REFUSED])
def test_an_error_names_the_line_what_is_wrong_and_the_mend(text: str, said: str) -> None:
    assert refusal(text).splitlines()[0].startswith(f"release.yaml:{said}")


def test_every_problem_has_a_line_and_they_are_in_order() -> None:
    text = changed("minor", "minr").replace("{playbook: install", "{playbok: install").replace("key: /etc", "kye: /etc")
    assert refusal(text).splitlines() == [
        'release.yaml:3: unknown type "minr" in the manifest; did you mean "minor"?',
        'release.yaml:7: unknown field "playbok" in install; did you mean "playbook"?',
        'release.yaml:8: unknown field "playbok" in back_out; did you mean "playbook"?',
        'release.yaml:12: unknown field "kye" in change 3; did you mean "key"?',
    ]


def test_the_name_of_the_file_stands_before_each_problem() -> None:
    with pytest.raises(ManifestError, match=r"^other\.yaml:1: "):
        load_manifest("[]", name="other.yaml")


def test_many_problems_are_cut_short() -> None:
    said = refusal(GOOD + "".join(f"field{number}: x\n" for number in range(5000))).splitlines()
    assert len(said) == 21
    assert said[-1] == "release.yaml: and more problems"


def test_text_that_other_readers_take_for_something_else_is_text() -> None:
    manifest = load_manifest(changed("{enabled: enabled}", "{on: yes, when: 2026-11-02, at: 12:30, no: off}"))
    assert manifest.changes[1].after == {"on": "yes", "when": "2026-11-02", "at": "12:30", "no": "off"}


@pytest.mark.parametrize("number", ["0644", "0x1f", "0o17", "1e3", "+5", ".5", "5.", "-0", ".inf", ".nan", "9" * 30])
def test_a_number_that_is_not_read_everywhere_the_same_is_refused(number: str) -> None:
    assert "is not read as a number everywhere the same" in refusal(after(f"{{mode: {number}}}"))


def test_numbers_truth_values_and_null_are_what_they_are() -> None:
    manifest = load_manifest(after("{one: 1, minus: -20, true: true, nothing: null, list: [1, a]}"))
    assert manifest.changes[0].after == {"one": 1, "minus": -20, "true": True, "nothing": None, "list": [1, "a"]}


# --- hostile files


def test_aliases_that_would_expand_to_billions_are_refused_at_once() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{name}: &{name} [*{chr(ord(name) - 1)}]\n" for name in "bcdefghij")
    assert refusal(bomb) == "release.yaml:1: anchors and aliases are not read; write the value out"


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
@pytest.mark.timeout(20)
def test_a_deep_file_is_refused_without_going_deep(opening: str) -> None:
    assert refusal(opening * 100_000).startswith("release.yaml:1: ")


def test_a_large_file_is_refused_unread() -> None:
    assert refusal("#" * (located_yaml.LIMIT + 1)) == "release.yaml:1: larger than 1024 KiB"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("line", ["- {}\n", "a\n", "? a\n", "'a': 1.0e\n", "&a ", "!a ", "%YAML 1.1\n"])
def test_a_full_file_of_one_thing_ends_in_an_error(line: str) -> None:
    refusal(line * (900_000 // len(line)))


@given(st.text(max_size=300) | st.from_regex(r"(\s{0,4}[a-z-]{0,5}[:\[\]{}&*!|>'\"#?,-]{0,2}\s){0,20}"))
@settings(max_examples=200, deadline=None)
def test_whatever_the_text_it_is_a_manifest_or_a_manifest_error(text: str) -> None:
    with pytest.raises(ManifestError):
        load_manifest(text)


_WORDS = st.sampled_from(["any", "absent", "pattern", "at_least", "at_most", "one_of", "1", "", "\x1b", "x" * 600])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(list(Manifest.model_fields)), _VALUES, st.booleans())
@settings(max_examples=300, deadline=None)
def test_whatever_stands_in_a_field_it_is_taken_or_a_manifest_error(field: str, value: Any, inside: bool) -> None:
    document = _plain(GOOD)
    if inside and isinstance(document.get(field), list):
        document[field][0] = value if not isinstance(value, dict) else {**document[field][0], **value, "after": value}
    else:
        document[field] = value
    try:
        load_manifest(yaml.safe_dump(document, allow_unicode=True))
    except ManifestError as error:
        assert all(line.startswith("release.yaml:") for line in str(error).splitlines())


# --- the schema


def _plain(text: str) -> Any:
    return located_yaml.read(text).value


TAKEN = [
    GOOD,
    GOOD.partition("back_out:")[0] + "changes: [{section: system.users, key: '*', after: absent}]",
    after('{version: {at_least: "1.1", at_most: "2"}, state: {one_of: [a, 1, true, null]}, hold: any, x: [a, 1]}'),
    after('{uid: {at_least: 1000}, name: {pattern: "lab?"}}'),
    changed("type: minor", 'type: emergency\ndescription: "First line\\nsecond\\tline"'),
    changed(
        "package: labapp,",
        "artifact: deb/labapp_1.1~rc1.deb, sha256: "
        + "ab" * 32
        + ", package: x, source: 'https://example.org', licence: MIT, owner: lab,",
    ),
    changed("{version: \"1.0\"}", "{list: [1, 2.5, {a: null}], _x: true}"),
    changed("kind: external-software, manager: deb, package", "kind: hardware, name"),
    changed("kind: external-software, manager: deb,", "kind: in-house-application, manager: file, artifact: a-b/c.d,"),
]  # fmt: skip

SCHEMA_REFUSES = [
    changed("changes:", "chnages:"),
    changed("playbook", "playbok"),
    changed("minor", "minr"),
    changed("external-", "externl-"),
    changed("service: lab\n", ""),
    changed("service: lab", "service:"),
    changed("service: lab", "service: ''"),
    changed("service: lab", f"service: {'x' * 201}"),
    changed("service: lab", 'service: "a\\tb"'),
    changed("service: lab", 'service: "a\\u200bb"'),
    changed('"1.1"\n', "1.1\n"),
    changed('"1.1"\n', '"1/1"\n'),
    changed("release: labapp", "release: Labapp"),
    changed("release: labapp", "release: .labapp"),
    changed("package: labapp, ", ""),
    changed("package: labapp, ", "name: labapp, "),
    changed("manager: deb", "manager: archive"),
    changed("package: labapp", f"package: labapp, sha256: {'ab' * 32}"),
    changed("package: labapp", f"package: labapp, source: x, sha256: {'AB' * 32}"),
    changed("package: labapp", "package: labapp, artifact: /etc/passwd"),
    changed("package: labapp", "package: labapp, artifact: ../x"),
    changed("package: labapp", "package: labapp, artifact: a/../x"),
    changed("package: labapp", "package: labapp, artifact: a/.git"),
    changed("package: labapp", "package: labapp, artifact: a//x"),
    changed("package: labapp", "package: labapp, artifact: a/"),
    changed("package: labapp", "package: labapp, artifact: -x"),
    changed("package: labapp", "package: labapp, artifact: ''"),
    changed("package: labapp", "package: labapp, owner: null"),
    changed('{version: "1.0"}', "{ansible_connection: local}"),
    changed('{version: "1.0"}', "{a-b: local}"),
    changed('{version: "1.0"}', "null"),
    changed("{playbook: install_packages.yml}", "{}"),
    changed("{playbook: install_packages.yml}", "{playbook: .hidden.yml}"),
    changed("software.dpkg", "dpkg"),
    changed("software.dpkg", "software"),
    changed("software.dpkg", "software.Dpkg"),
    changed('key: "labapp:*"', "key: 22"),
    changed('key: "labapp:*"', "key: ''"),
    after("{version: 1.1}"),
    after("{version: [1.5]}"),
    after("{version: {patern: x}}"),
    after("{version: {pattern: x, one_of: [1]}}"),
    after("{version: {pattern: 1}}"),
    after("{version: {at_least: null}}"),
    after("{version: {at_least: true}}"),
    after('{version: {at_least: 1, at_most: "2"}}'),
    after("{version: {one_of: []}}"),
    after("{version: {one_of: 1}}"),
    after("{version: {}}"),
    after('{"": 1}'),
    after('{"a\\nb": 1}'),
    after("{}"),
    after("ayn"),
    after("[any]"),
    after("null"),
    changed("{id: debian}", "{}"),
    changed("{id: debian}", "debian"),
    GOOD.partition("changes:")[0],
    GOOD.partition("changes:")[0] + "changes: []",
    "[]",
    "",
]
LOADER_ALONE_REFUSES = [  # what no schema can say
    changed("service: lab", "service: lab\nservice: lab"),
    after("{version: 1.0}"),  # to a schema, 1.0 is a whole number
    after('{version: {at_least: "2", at_most: "1"}}'),
    after('{version: {at_least: "a b"}}'),
    changed("section: system.units,  key: labapp.service", 'section: software.dpkg, key: "labapp:*"'),
]


def test_the_schema_is_one() -> None:
    schema = manifest_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_field_of_the_schema_is_described_and_its_examples_are_right() -> None:
    schema = manifest_schema()
    for model in [schema, *(one for one in schema["$defs"].values() if "properties" in one)]:
        for name, field in model["properties"].items():
            assert field["description"], name
            for example in field.get("examples", []):
                jsonschema.Draft202012Validator({**field, "$defs": schema["$defs"]}).validate(example)


@pytest.mark.parametrize("text", TAKEN)
def test_what_the_loader_takes_the_schema_takes(text: str) -> None:
    load_manifest(text)
    jsonschema.Draft202012Validator(manifest_schema()).validate(_plain(text))


@pytest.mark.parametrize("text", SCHEMA_REFUSES)
def test_what_the_schema_refuses_the_loader_refuses(text: str) -> None:
    with pytest.raises(ManifestError):
        load_manifest(text)
    assert not jsonschema.Draft202012Validator(manifest_schema()).is_valid(_plain(text))


@pytest.mark.parametrize("text", LOADER_ALONE_REFUSES)
def test_what_no_schema_can_say_the_loader_says(text: str) -> None:
    with pytest.raises(ManifestError):
        load_manifest(text)


def test_the_document_of_a_manifest_is_valid_by_the_schema() -> None:
    jsonschema.Draft202012Validator(manifest_schema()).validate(load_manifest(GOOD).document())


# --- the digest


def test_layout_comments_and_spelled_out_defaults_do_not_alter_the_digest() -> None:
    laid_out = yaml.safe_dump(_plain(GOOD), sort_keys=True, default_flow_style=False)
    defaults = changed("{playbook: install_packages.yml}", "{with: {}, playbook: 'install_packages.yml'}  # same")
    digests = {digest_of(load_manifest(text), {}) for text in (GOOD, laid_out, defaults, "# a comment\n" + GOOD)}
    assert len(digests) == 1


@pytest.mark.parametrize("text", [changed("labapp:*", "labapp:?"), changed('"1.0"', '"0.9"'), after("any")])
def test_another_content_is_another_digest(text: str) -> None:
    assert digest_of(load_manifest(text), {}) != digest_of(load_manifest(GOOD), {})


def test_the_digest_is_over_the_files_and_their_names_in_any_order() -> None:
    manifest, one, other = load_manifest(GOOD), "1" * 64, "2" * 64
    digest = digest_of(manifest, {"a": one, "b": other})
    assert digest == digest_of(manifest, {"b": other, "a": one})
    assert len({digest, digest_of(manifest, {"a": other, "b": one}), digest_of(manifest, {"a": one})}) == 3


def test_the_digest_stays_what_it_was_in_earlier_versions() -> None:
    digest = digest_of(load_manifest(GOOD), {"artifacts/labapp.deb": "ab" * 32})
    assert digest == "f1c6a20aeb14e92684ffbb7ff6398c496bdddae827b37f1934f4b4931a64eef5"


def test_a_file_digest_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no SHA-256"):
        digest_of(load_manifest(GOOD), {"a": "abc"})


# --- paths


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "release" / "deb").mkdir(parents=True)
    (tmp_path / "release" / "deb" / "a.deb").write_text("a")
    (tmp_path / "secret").write_text("s")
    return tmp_path / "release"


def test_a_file_of_the_folder_is_found(folder: Path) -> None:
    (folder / "link.deb").symlink_to("deb/a.deb")
    assert resolve_inside(folder, "deb/a.deb") == folder / "deb" / "a.deb"
    assert resolve_inside(folder, "link.deb") == folder / "deb" / "a.deb"


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "..",
        "../secret",
        "deb/../../secret",
        "/etc/passwd",
        "deb/",
        "a\nb",
        "a\\b",
        "~/.x",
        "x" * 5000,
        "\ud800",
    ],
)
def test_a_path_out_of_the_folder_or_no_path_is_refused(folder: Path, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve_inside(folder, path)
    assert caught.value.mend


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "..", "/"])
def test_a_link_that_leaves_the_folder_is_refused_however_it_is_reached(folder: Path, target: str) -> None:
    (folder / "out").symlink_to(target)
    (folder / "hop").symlink_to("out")
    for path in ("out", "hop", "out/secret", "hop/secret"):
        with pytest.raises(InvalidInput):
            resolve_inside(folder, path)


def test_a_missing_file_a_folder_a_pipe_and_a_loop_each_get_an_error_with_a_mend(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    for path, kind in (("gone", NotFound), ("deb/a.deb/x", NotFound), ("deb", InvalidInput), ("pipe", InvalidInput)):
        with pytest.raises(kind) as caught:
            resolve_inside(folder, path)
        assert caught.value.mend
    with pytest.raises(InvalidInput):
        resolve_inside(folder, "loop")
