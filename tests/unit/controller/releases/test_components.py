"""The components of a manifest: every kind is taken, and what cannot be is refused in one clear line."""

from datetime import date

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verdelta_controller.releases import located_yaml
from verdelta_controller.releases.build_checks import check_package
from verdelta_controller.releases.component_checks import component_flaws
from verdelta_controller.releases.components import Component, Document, Kind, Part, Status, fetched_name
from verdelta_controller.releases.file_claims import Claims, files_of, fits
from verdelta_controller.releases.licences import licence_problem
from verdelta_controller.releases.manifest import ManifestError, load_manifest, manifest_schema, read_manifest

HEAD = """\
release: lab
version: "2.0"
type: major
service: lab
install: {playbook: install_packages.yml}
changes: [{section: software.dpkg, key: "labapp:*", after: any}]
components:
"""
EVERY_KIND = """\
  - {kind: in-house-application, name: Lab application, manager: deb, package: labapp, version: "2:2.0~rc1-1",
     artifact: deb/labapp.deb, licence: LicenseRef-ours, owner: lab team, status: tested, requires: [liblab, Kernel]}
  - {kind: external-software, name: liblab, version: "1.0", source: "https://example.org/liblab-1.0.tar.gz",
     licence: (MIT OR Apache-2.0) AND GPL-2.0-only WITH Classpath-exception-2.0, status: purchased}
  - {kind: utility-software, name: tools, version: "3", files: [tools, "more/**/*.sh"]}
  - {kind: system-software, name: Kernel, version: "6.1", supplier: Example plc, support_until: "2999-12-31"}
  - kind: hardware
    name: Web server
    version: "Gen 9"
    status: on-order
    specification:
      - {section: hardware.memory, key: "*", after: {size: {at_least: 16}}}
  - {kind: documentation, document: sla, name: SLA, version: "4", files: [docs/sla.pdf]}
  - {kind: documentation, document: user-manual, name: Manual, version: "2", artifact: docs/manual.pdf}
  - {kind: external-software, name: router image, version: "1", configuration: infrastructure}
"""
TODAY = date(2026, 11, 26)


def refusal(components: str) -> str:
    with pytest.raises(ManifestError) as caught:
        load_manifest(HEAD + components, sections=["software.dpkg", "hardware.memory"])
    return str(caught.value)


def test_components_of_every_kind_belong_to_a_part_of_the_configuration() -> None:
    manifest = load_manifest(HEAD + EVERY_KIND, sections=["software.dpkg", "hardware.memory"])
    jsonschema.Draft202012Validator(manifest_schema()).validate(located_yaml.read(HEAD + EVERY_KIND).value)
    assert {component.kind for component in manifest.components} == set(Kind)
    assert [component.part for component in manifest.components] == [
        Part.SOFTWARE,
        Part.SOFTWARE,
        Part.SOFTWARE,
        Part.INFRASTRUCTURE,
        Part.HARDWARE,
        Part.INFORMATION,
        Part.KNOWLEDGE,
        Part.INFRASTRUCTURE,
    ]


@pytest.mark.parametrize("document", Document)
@pytest.mark.parametrize("status", Status)
def test_every_document_and_every_status_is_taken(document: Document, status: Status) -> None:
    text = f"  - {{kind: documentation, document: {document}, name: x, version: '1', artifact: x, status: {status}}}\n"
    assert load_manifest(HEAD + text).components[0].document is document


ONE = "  - {kind: external-software, name: one, version: '1'"
HARDWARE = ONE.replace("external-software", "hardware")
REFUSED = [
    (ONE + ", requires: [two]}\n" + ONE.replace("one", "two") + ", requires: [three]}\n"
     + ONE.replace("one", "three") + ", requires: [one]}",
     "8: components require each other in a circle: one → two → three → one"),
    (ONE + ", requires: [one]}", '8: component 1 requires itself ("one")'),
    (ONE + "}\n" + ONE.replace("one", "two") + ", requires: [oen]}",
     '9: component 2 requires "oen", which is not there; did you mean "one"?'),
    (ONE + ", requires: [zzz]}", '8: component 1 requires "zzz", which is not there; add it to the components'),
    (ONE + ", artifact: a/b}\n" + ONE.replace("one", "two") + ", artifact: a/b}",
     "9: a/b is claimed by component 1 (one) and by component 2 (two); leave it to one of them"),
    (ONE + "}\n" + ONE + "}", "9: component 2 repeats component 1; leave one of them"),
    (ONE.replace("'1'", "'a b'") + ", manager: deb, package: x}",
     '8: version: "a b" is no version that can be ordered as deb orders them, in component 1'),
    (ONE.replace("'1'", "'1.0-2-3'") + ", manager: rpm, package: x}",
     '8: version: "1.0-2-3" is no version that can be ordered as rpm orders them, in component 1'),
    (ONE.replace("'1'", "one") + ", manager: pip, package: x}",
     '8: version: "one" is no version that can be ordered as pip orders them, in component 1'),
    (ONE + ", licence: MIT or Apache}", '8: licence "MIT or Apache": expected AND, OR or WITH before "or"; write it'),
    (ONE + ", licence: (MIT}", '8: licence "(MIT": a bracket is not closed; write it'),
    (ONE + ", support_until: '2026-02-30'}", "8: 2026-02-30 is no day of the calendar, in support_until of"),
    (ONE + ", support_until: soon}", '8: support_until "soon" is not a day such as 2031-06-30'),
    (ONE + ", status: liev}", '8: unknown status "liev" in component 1; did you mean "live"?'),
    (ONE + ", document: sla, artifact: x}", "8: document is for documentation, and this is external-software, in"),
    (ONE.replace("external-software", "documentation") + ", document: sal, artifact: x}",
     '8: unknown document "sal" in component 1; did you mean "sla"?'),
    (ONE.replace("external-software", "documentation") + ", document: sla}",
     "8: the document itself is missing; give its artifact, files or source, in component 1"),
    (ONE + ", specification: [{section: hardware.memory, key: x, after: any}]}",
     "8: specification is for hardware, and this is external-software, in component 1"),
    (HARDWARE + ", specification: [{section: hardware.memroy, key: x, after: any}]}",
     '8: unknown section "hardware.memroy" in line 1 of the specification of component 1; did you mean'),
    (HARDWARE + ", specification: [{section: software.dpkg, key: x, after: any}]}",
     "8: software.dpkg is no section of hardware, in specification of component 1"),
    (ONE + ", files: [/etc]}", '8: item 1 of files of component 1 "/etc" is not a path inside the release folder'),
    (ONE + ", source: 'https://example.org/'}",
     "8: source ends in no name of a file; give the name in the package as artifact, in component 1"),
    (ONE + ", requries: [one]}", '8: unknown field "requries" in component 1; did you mean "requires"?'),
]  # fmt: skip


@pytest.mark.parametrize(("components", "said"), REFUSED, ids=[said[:50] for _, said in REFUSED])
def test_what_cannot_be_is_refused_with_its_line(components: str, said: str) -> None:
    assert refusal(components).splitlines()[0].startswith(f"release.yaml:{said}")


def test_what_was_built_by_what_was_right_at_its_time_can_still_be_read() -> None:
    old = HEAD + ONE.replace("'1'", "'a b'") + ", manager: deb, package: x, licence: see contract}"
    assert read_manifest(old).components[0].licence == "see contract"
    with pytest.raises(ManifestError):
        load_manifest(old)


# --- what depends on the files, and on the day


FILES = {
    "deb/labapp.deb": "1" * 64,
    "fetched/liblab-1.0.tar.gz": "2" * 64,
    "tools/a": "3" * 64,
    "tools/deep/b": "4" * 64,
    "more/c.sh": "5" * 64,
    "more/deep/d.sh": "6" * 64,
    "docs/sla.pdf": "7" * 64,
    "docs/manual.pdf": "8" * 64,
}


def check(components: str, files: dict[str, str], today: date = TODAY) -> None:
    check_package(load_manifest(HEAD + components), files, today, HEAD + components)


def complaint(components: str, files: dict[str, str], today: date = TODAY) -> str:
    with pytest.raises(ManifestError) as caught:
        check(components, files, today)
    return str(caught.value)


def test_files_that_are_all_there_and_all_named_can_become_a_package() -> None:
    check(EVERY_KIND, FILES)
    owned = files_of(load_manifest(HEAD + EVERY_KIND).components, FILES)
    assert owned[2] == ["more/c.sh", "more/deep/d.sh", "tools/a", "tools/deep/b"]


@pytest.mark.parametrize("missing", FILES)
def test_a_file_that_is_named_and_missing_is_an_error(missing: str) -> None:
    said = complaint(
        EVERY_KIND, {path: digest for path, digest in FILES.items() if path.split("/")[0] != missing.split("/")[0]}
    )
    assert (
        "is named in the manifest, and is not in the package" in said or "no file of the package is named by it" in said
    )


def test_a_file_that_nobody_names_is_an_error() -> None:
    assert (
        complaint(EVERY_KIND, FILES | {"secret": "9" * 64}) == "release.yaml:1: secret: the manifest does not name it"
    )


def test_a_file_that_two_components_name_by_patterns_is_an_error_with_both() -> None:
    twice = ONE + ", files: [lib]}\n" + ONE.replace("one", "two") + ", files: ['**/*.so']}"
    said = complaint(twice, {"lib/a.so": "1" * 64})
    assert said == (
        "release.yaml:9: lib/a.so is claimed by component 1 (one) and by component 2 (two); leave it to one of them"
    )


def test_a_component_whose_support_has_ended_is_refused_from_the_day_after() -> None:
    text = ONE + ", support_until: '2026-11-25'}"
    check(text, {}, date(2026, 11, 25))
    assert complaint(text, {}) == (
        "release.yaml:8: support of component 1 (one) ended on 2026-11-25, and today is 2026-11-26;"
        " release a version that is supported"
    )


def test_another_digest_than_the_manifest_asks_for_is_shown_with_both() -> None:
    said = complaint(ONE + f", artifact: a, sha256: {'ab' * 32}}}", {"a": "cd" * 32})
    assert "ab" * 32 in said and "cd" * 32 in said and said.startswith("release.yaml:8: a: checksum")


def test_a_lock_is_no_part_of_a_component() -> None:
    assert "is the lock of the package" in complaint(ONE + ", artifact: release.lock}", {"release.lock": "1" * 64})


# --- patterns, licences, names


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("a/*", "a/b", True),
        ("a/*", "a/b/c", False),
        ("a/**", "a/b/c", True),
        ("**/*.so", "x.so", True),
        ("**/*.so", "a/b/x.so", True),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**/b", "a/x/y/c", False),
        ("a?", "ab", True),
        ("a?", "a", False),
        ("a[b]*", "a[b]c", True),
        ("a[b]*", "abc", False),
    ],
)
def test_patterns_mean_what_is_documented(pattern: str, path: str, expected: bool) -> None:
    assert fits(pattern, path) is expected


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("pattern", "path"), [("a*" * 200 + "b", "a" * 400 + "c"), ("**/" * 150 + "x", "a/" * 200 + "y")]
)
def test_no_pattern_takes_long(pattern: str, path: str) -> None:
    assert not fits(pattern, path)


_NAMES = st.text("ab", min_size=1, max_size=2)
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map("/".join)
_ENTRIES = st.lists(_NAMES | st.sampled_from(["*", "**", "a*", "?"]), min_size=1, max_size=4).map("/".join)


@given(st.lists(_ENTRIES, min_size=1, max_size=4), _PATHS)
@settings(deadline=None)
def test_the_claims_of_many_are_those_of_each(entries: list[str], path: str) -> None:
    components = [
        Component(kind=Kind.UTILITY_SOFTWARE, name=f"c{n}", version="1", files=[e]) for n, e in enumerate(entries)
    ]
    each = [n for n, component in enumerate(components) if Claims([component]).owners(path)]
    assert Claims(components).owners(path) == each


GOOD_LICENCES = ["MIT", "GPL-2.0+", "(MIT)", "MIT AND (ISC OR 0BSD)", "DocumentRef-a:LicenseRef-b", "LicenseRef-x",
                 "GPL-2.0-only WITH Classpath-exception-2.0", "NONE", "(" * 90 + "MIT" + ")" * 90]  # fmt: skip
BAD_LICENCES = ["MIT AND", "AND MIT", "MIT MIT", "(MIT", "MIT)", "()", "", "MIT WITH (x)", "see contract", "MIT/X11",
                "MIT, ISC", "GPL WITH", "(" * 200]  # fmt: skip


@pytest.mark.parametrize("text", GOOD_LICENCES)
def test_a_licence_as_spdx_writes_it_is_taken(text: str) -> None:
    assert licence_problem(text) is None


@pytest.mark.parametrize("text", BAD_LICENCES)
def test_a_licence_in_other_words_is_refused(text: str) -> None:
    assert licence_problem(text)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("https://example.org/a/b-1.tar.gz?x=y#z", "fetched/b-1.tar.gz"),
        ("file:///srv/a%20b.iso", "fetched/a b.iso"),
        ("https://example.org", None),
        ("https://example.org/a/", None),
        ("https://example.org/.hidden", None),
        ("https://example.org/..", None),
        ("https://example.org/%2e%2e", None),
        ("https://example.org/a%0ab", None),
        ("https://example.org/%ff", None),
        ("https://[", None),
    ],
)
def test_the_name_of_what_is_fetched_comes_from_its_source_and_stays_in_its_folder(source: str, name: str) -> None:
    assert fetched_name(source) == name


@given(st.lists(st.lists(st.integers(0, 7), max_size=3), min_size=1, max_size=8))
@settings(deadline=None)
def test_a_cycle_is_found_when_there_is_one_and_only_then(edges: list[list[int]]) -> None:
    count = len(edges)
    components = [
        Component(kind=Kind.UTILITY_SOFTWARE, name=f"c{n}", version="1", requires=[f"c{t % count}" for t in targets])
        for n, targets in enumerate(edges)
    ]
    left = {n: {t % count for t in targets if t % count != n} for n, targets in enumerate(edges)}
    while ends := [n for n, targets in left.items() if not targets & set(left)]:
        for n in ends:
            del left[n]
    found = any("circle" in flaw.text for flaw in component_flaws(components))
    assert found is bool(left)
