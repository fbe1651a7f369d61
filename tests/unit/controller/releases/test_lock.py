"""The lock of a package, and what is made of it: the same inputs give the same bytes."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given, settings
from hypothesis import strategies as st
from packageurl import PackageURL

from verdelta_controller.foundation.errors import InvalidInput
from verdelta_controller.releases.bill_of_materials import bill_of_materials
from verdelta_controller.releases.components import Kind, Part, Status
from verdelta_controller.releases.lock import Lock, LockedFile, check_lock, differences, lock_of, read_lock
from verdelta_controller.releases.manifest import Manifest, digest_of, load_manifest
from verdelta_controller.releases.package_difference import Change, difference

MANIFEST = """\
release: lab
version: "2.0"
type: major
service: lab
install: {playbook: own.yml}
back_out: {playbook: remove_packages.yml}
changes: [{section: software.dpkg, key: "labapp:*", after: {version: "2.0"}}]
components:
  - {kind: in-house-application, name: Lab application, manager: deb, package: labapp, version: "2:2.0~rc1-1",
     artifact: deb/labapp.deb, licence: LicenseRef-ours, owner: lab team, status: tested, requires: [liblab, Kernel]}
  - {kind: external-software, name: liblab, version: "1.0", source: "https://example.org/liblab-1.0.tar.gz",
     licence: MIT OR Apache-2.0, supplier: Lab plc, requires: [Kernel]}
  - {kind: utility-software, name: tools, version: "3", files: [tools]}
  - {kind: system-software, name: Kernel, version: "6.1", manager: rpm, package: kernel}
  - {kind: system-software, name: Kernel, version: "6.1", manager: deb, package: linux-image}
  - {kind: external-software, manager: pip, package: Some.Thing, version: "1.0+local"}
  - kind: hardware
    name: Web server
    version: "Gen 9"
    specification: [{section: hardware.memory, key: "*", after: {size: {at_least: 16}}}]
  - {kind: documentation, document: sla, name: SLA, version: "4", artifact: docs/sla.pdf}
  - {kind: documentation, document: user-manual, name: Manual, version: "2", files: [docs/manual]}
"""
FILES = {
    path: LockedFile(sha256=str(number) * 64, size=number)
    for number, path in enumerate(
        [
            "deb/labapp.deb",
            "fetched/liblab-1.0.tar.gz",
            "tools/a",
            "tools/b",
            "docs/sla.pdf",
            "docs/manual/1.html",
            "own.yml",
        ]
    )
}


def the_lock() -> Lock:
    return lock_of(load_manifest(MANIFEST), FILES)


def test_every_component_is_pinned_with_its_files_and_the_final_configuration_has_five_parts() -> None:
    lock = the_lock()
    application = next(component for component in lock.components if component.name == "Lab application")
    assert (application.version, application.sha256, application.size) == ("2:2.0~rc1-1", "0" * 64, 0)
    assert application.requires == ["Kernel@6.1", "Kernel@6.1#2", "liblab@1.0"]
    assert lock.configuration == {
        Part.KNOWLEDGE: ["Manual@2"],
        Part.INFORMATION: ["SLA@4"],
        Part.HARDWARE: ["Web server@Gen 9"],
        Part.SOFTWARE: [
            "Lab application@2:2.0~rc1-1",
            "Some.Thing@1.0+local",
            "liblab@1.0",
            "tools@3",
        ],
        Part.INFRASTRUCTURE: ["Kernel@6.1", "Kernel@6.1#2"],
    }
    assert lock.files() == FILES
    assert list(lock.playbooks) == ["own.yml"]


def test_a_lock_comes_back_from_its_bytes() -> None:
    assert read_lock(the_lock().written()) == the_lock()


@given(st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_no_order_alters_the_lock(shuffled: random.Random) -> None:
    document = load_manifest(MANIFEST).document()
    shuffled.shuffle(document["components"])
    for component in document["components"]:
        shuffled.shuffle(component.get("requires", []))
    paths = list(FILES)
    shuffled.shuffle(paths)
    found = lock_of(Manifest.model_validate(document), {path: FILES[path] for path in paths})
    assert found.written() == the_lock().written()


def test_the_lock_is_checked_against_manifest_and_files() -> None:
    manifest, content = load_manifest(MANIFEST), the_lock().written()
    files = {path: file.sha256 for path, file in FILES.items()} | {"release.lock": "f" * 64}
    sizes = {file.sha256: file.size for file in FILES.values()}
    assert check_lock(content, manifest, files, sizes) == the_lock()
    for other in (content.replace(b"lab team", b"Lab team"), content[:-1], content + b" "):
        with pytest.raises(InvalidInput, match="not the lock of this manifest"):
            check_lock(other, manifest, files, sizes)
    with pytest.raises(InvalidInput, match="not the lock of this manifest"):
        check_lock(content, manifest, files | {"tools/a": "e" * 64}, sizes | {"e" * 64: 2})
    with pytest.raises(InvalidInput, match="not the lock of this manifest"):
        check_lock(content, manifest, files, {digest: size + 1 for digest, size in sizes.items()})


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"null", b'{"lock": 1}', b"9" * 10_000]
)
def test_what_is_no_lock_is_one_line_with_the_mend(content: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"release.lock: not a lock of a release") as caught:
        read_lock(content)
    assert caught.value.mend == "Make it anew: verdelta release build --update-lock"
    assert "\n" not in caught.value.message


def test_other_content_under_the_same_name_and_version_is_seen_and_a_new_version_is_not_a_difference() -> None:
    manifest, lock = load_manifest(MANIFEST), the_lock()
    other = lock_of(manifest, FILES | {"tools/a": LockedFile(sha256="e" * 64, size=1)})
    assert [(one.ref, two.ref) for one, two in differences(lock, other)] == [("tools@3", "tools@3")]
    newer = load_manifest(MANIFEST.replace('tools, version: "3"', 'tools, version: "4"'))
    assert not list(differences(lock, lock_of(newer, FILES | {"tools/a": LockedFile(sha256="e" * 64, size=1)})))


# --- the bill of materials


VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)


def invalid(document: dict[str, Any]) -> Any:
    return VALIDATOR.validate_str(json.dumps(document))


def test_the_bill_of_materials_is_valid_by_the_strict_schema_and_always_the_same() -> None:
    document = bill_of_materials(the_lock(), "d" * 64)
    assert invalid(document) is None
    assert invalid({**document, "components": [{"type": "nothing"}]}) is not None  # the validator looks
    assert bill_of_materials(read_lock(the_lock().written()), "d" * 64) == document
    assert document["serialNumber"] == "urn:uuid:" + document["serialNumber"][9:]
    assert bill_of_materials(the_lock(), "e" * 64)["serialNumber"] != document["serialNumber"]


def test_the_bill_of_materials_says_what_each_component_is_where_from_and_what_it_needs() -> None:
    document = bill_of_materials(the_lock(), "d" * 64)
    found = {component["bom-ref"]: component for component in document["components"]}
    application = found["component:Lab application@2:2.0~rc1-1"]
    assert application["hashes"] == [{"alg": "SHA-256", "content": "0" * 64}]
    assert application["licenses"] == [{"expression": "LicenseRef-ours"}]
    assert {"name": "verdelta:status", "value": "tested"} in application["properties"]
    assert {"name": "verdelta:owner", "value": "lab team"} in application["properties"]
    assert PackageURL.from_string(application["purl"]).to_dict()["version"] == "2:2.0~rc1-1"
    assert found["component:liblab@1.0"]["supplier"] == {"name": "Lab plc"}
    assert found["component:Web server@Gen 9"]["type"] == "device"
    assert found["component:SLA@4"]["type"] == "file"
    assert [file["name"] for file in found["component:tools@3"]["components"]] == ["tools/a", "tools/b"]
    needs = {one["ref"]: one["dependsOn"] for one in document["dependencies"]}
    assert needs["component:liblab@1.0"] == ["component:Kernel@6.1", "component:Kernel@6.1#2"]
    assert set(needs["release:lab@2.0"]) == set(found)


_URLS = ["https://[", "https://x:y", "https://a#b#c", "https://a/%zz%20b", "file:///a b", "https://ü.example/ü?[#"]
_TEXT = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"kind": st.sampled_from(Kind), "name": _TEXT, "version": _TEXT},
            optional={
                "owner": _TEXT,
                "supplier": _TEXT,
                "status": st.sampled_from(Status),
                "source": _TEXT | _TEXT.map("https://example.org/{}".format) | st.sampled_from(_URLS),
                "licence": st.sampled_from(["MIT", "LicenseRef-x OR ISC"]),
            },
        ),
        max_size=4,
        unique_by=lambda one: one["name"],
    )
)
@settings(max_examples=25, deadline=None)
def test_whatever_components_are_called_their_bill_of_materials_is_valid(components: list[dict[str, Any]]) -> None:
    manifest = Manifest.model_validate({**load_manifest(MANIFEST).document(), "components": components})
    assert invalid(bill_of_materials(lock_of(manifest, {}), "d" * 64)) is None


# --- the digest, in other surroundings


PROGRAM = """
import os, sys
sys.path[:0] = sys.argv[2].split(":")
from pathlib import Path
from verdelta_controller.cli import package
from verdelta_controller.releases.manifest import digest_of
found = package.read(Path(sys.argv[1]))
print(digest_of(found.manifest, found.order()["files"]))
"""


@pytest.mark.parametrize(
    ("folder", "umask", "environment"),
    [("here", 0o022, {}), ("a far/away place", 0o077, {"LC_ALL": "C", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"})],
)
def test_neither_folder_nor_locale_nor_umask_nor_time_zone_alters_the_digest(
    tmp_path: Path, folder: str, umask: int, environment: dict[str, str]
) -> None:
    where = tmp_path / folder
    for number, name in enumerate(sorted(FILES, reverse=number_is_odd(umask))):
        path = where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("- hosts: all\n" if name == "own.yml" else f"content of {name}")
        path.chmod((0o644, 0o600, 0o755)[number % 3] & ~umask)
    content = MANIFEST.replace("https://example.org/liblab-1.0.tar.gz", "https://example.org/x").replace(
        'source: "https://example.org/x"', "artifact: fetched/liblab-1.0.tar.gz"
    )
    (where / "release.yaml").write_text(content)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(where), ":".join(sys.path)],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **environment},
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == expected_digest(content), done.stderr


def number_is_odd(number: int) -> bool:
    return bool(number % 2)


def expected_digest(content: str) -> str:
    import hashlib

    texts = {name: "- hosts: all\n" if name == "own.yml" else f"content of {name}" for name in FILES}
    manifest = load_manifest(content)
    files = {
        name: LockedFile(sha256=hashlib.sha256(text.encode()).hexdigest(), size=len(text))
        for name, text in texts.items()
    }
    lock = hashlib.sha256(lock_of(manifest, files).written()).hexdigest()
    return digest_of(manifest, {name: file.sha256 for name, file in files.items()} | {"release.lock": lock})


# --- two packages


def test_two_packages_are_compared_component_by_component_file_by_file_and_change_by_change() -> None:
    newer = (
        MANIFEST.replace('version: "2.0"\n', 'version: "2.1"\n', 1)
        .replace('after: {version: "2.0"}', 'after: {version: "2.1"}')
        .replace("owner: lab team", "owner: other team")
        .replace('  - {kind: documentation, document: sla, name: SLA, version: "4", artifact: docs/sla.pdf}\n', "")
        .replace("own.yml", "install_packages.yml")
    )
    files = {path: file for path, file in FILES.items() if path not in ("docs/sla.pdf", "own.yml")}
    files["tools/a"] = LockedFile(sha256="e" * 64, size=20)
    files["tools/c"] = LockedFile(sha256="f" * 64, size=30)
    one, other = load_manifest(MANIFEST), load_manifest(newer)
    found = difference((one, the_lock()), (other, lock_of(other, files)))

    components = {component.name: component for component in found.components}
    assert set(components) == {"Lab application", "SLA", "tools"}
    assert [(f.field, f.before, f.after) for f in components["Lab application"].fields] == [
        ("owner", "lab team", "other team")
    ]
    assert components["SLA"].change is Change.REMOVED
    assert [(file.path, file.change) for file in components["tools"].files] == [
        ("tools/a", Change.CHANGED),
        ("tools/c", Change.ADDED),
    ]
    assert [(one.path, one.change) for one in found.playbooks] == [("own.yml", Change.REMOVED)]
    assert [(c.key, c.before, c.after) for c in found.changes] == [("labapp:*", {"version": "2.0"}, {"version": "2.1"})]
    assert [field.field for field in found.fields] == ["install", "version"]


def test_a_package_does_not_differ_from_itself() -> None:
    manifest = load_manifest(MANIFEST)
    assert difference((manifest, the_lock()), (manifest, the_lock())).is_empty
