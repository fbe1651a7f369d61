"""The commands against the real application: what they print, what they change, and how they end."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from tests.support.command_line import URL, ByHand, CommandLine, InProcess
from tests.support.scene import Scene
from tests.support.views import EVE, UPGRADE, a_host, change, delta, host, rollout, snapshot, wave
from tests.support.web import TestClient, a_controller, a_token

from verdelta_controller.access.rules import Role
from verdelta_controller.app import create_app
from verdelta_controller.cli import host_keys
from verdelta_controller.fleet import channels
from verdelta_controller.fleet.host_keys import fingerprint
from verdelta_controller.wiring import Services

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGvBGjMvtjk3o2eoLPXsTzXHZwUCPh1DxkOhGSbEVXZJ"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFvBGjMvtjk3o2eoLPXsTzXHZwUCPh1DxkOhGSbEVXZJ"

MANIFEST = """\
release: labapp
version: "1.1"
type: minor
service: lab
components:
  - {kind: in-house-application, name: labapp, manager: file, version: "1.1", artifact: labapp.py}
install: {playbook: deploy_files.yml, with: {destination: /opt/labapp}}
changes:
  - {section: system.files, key: /opt/labapp/labapp.py, after: any}
"""


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with a_controller(tmp_path_factory.mktemp("controller")) as services:
        yield services


@pytest.fixture(scope="module")
def transport(services: Services) -> InProcess:
    return InProcess(TestClient(create_app(services), base_url=URL))


@pytest.fixture(scope="module")
def secret(services: Services) -> str:
    return a_token(services)


@pytest.fixture
def verdelta(transport: InProcess, secret: str, tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path, transport, secret)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other test gives to a host: they share one controller."""
    return f"h-{sha256(request.node.name.encode()).hexdigest()[:12]}"


# -- hosts


def test_a_host_that_checks_in_is_added_shown_changed_and_listed(verdelta: CommandLine, name: str):
    made = verdelta("host", "add", name, "--reach", "check-in", "--group", "web", "--environment", "live")
    assert made.exit_code == 0, made.output

    changed = verdelta("host", "set", name, "--group", "db", "--accept-gap", "hardware.smbios")
    assert changed.exit_code == 0, changed.output

    shown = verdelta.json("host", "show", name)
    assert (shown["groups"], shown["accepted_gaps"]) == (["db"], ["hardware.smbios"])
    assert shown["environment"] == "live"
    assert name in verdelta("host", "list", "--group", "db").stdout
    assert name in [one["name"] for one in yaml.safe_load(verdelta("host", "list", "-o", "yaml").stdout)]
    assert "never audited" in verdelta("host", "show", name).stdout


def test_groups_are_emptied_only_when_that_is_said(verdelta: CommandLine, name: str):
    verdelta("host", "add", name, "--reach", "check-in", "--group", "web")

    assert verdelta("host", "set", name).exit_code == 2
    assert verdelta("host", "set", name, "--no-groups", "--group", "x").exit_code == 2
    assert verdelta.json("host", "show", name)["groups"] == ["web"]
    assert verdelta("host", "set", name, "--no-groups").exit_code == 0
    assert verdelta.json("host", "show", name)["groups"] == []


def test_an_unknown_host_is_one_line_with_the_mend(verdelta: CommandLine):
    for arguments in (["host", "show", "nosuch"], ["audit", "nosuch"], ["diff", "nosuch"], ["inventory", "nosuch"]):
        result = verdelta(*arguments)

        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr == "there is no host named nosuch\n  verdelta host list shows the hosts\n"


def test_one_unknown_host_keeps_all_from_being_audited(tmp_path: Path):
    hand = ByHand({"GET hosts/a": (200, a_host("a")), "GET hosts/b": (404, {"error": "no b", "exit_code": 2})})

    assert CommandLine(tmp_path, hand)("audit", "a", "b").exit_code == 2
    assert hand.asked == ["GET hosts/a", "GET hosts/b"]


def test_an_invitation_stands_alone_on_standard_output(verdelta: CommandLine, name: str):
    verdelta("host", "add", name, "--reach", "check-in")

    result = verdelta("host", "invite", name)

    assert result.stdout.count("\n") == 1
    assert len(result.stdout.strip().split(".")) == 4
    assert verdelta.json("host", "invite", name)["token"].count(".") == 3


# -- pinning


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "scan", lambda address, port: KEY)


def over_ssh(name: str) -> list[str]:
    return ["host", "add", name, "--address", "192.0.2.7", "--user", "root"]


@pytest.mark.usefixtures("shown")
def test_a_host_key_is_never_trusted_where_nobody_can_be_asked(verdelta: CommandLine, name: str):
    result = verdelta(*over_ssh(name))

    assert result.exit_code == 2
    assert "none is trusted unseen" in result.stderr and "--fingerprint" in result.stderr
    assert verdelta("host", "show", name).exit_code == 2


@pytest.mark.usefixtures("shown")
def test_another_fingerprint_than_the_one_given_adds_nothing(verdelta: CommandLine, name: str):
    result = verdelta(*over_ssh(name), "--fingerprint", "SHA256:abc")

    assert result.exit_code == 1
    assert "is not the one that you gave" in result.stderr and "Nothing was pinned" in result.stderr
    assert verdelta("host", "show", name).exit_code == 2


@pytest.mark.usefixtures("shown")
@pytest.mark.parametrize("form", ["{0}", "{0} (ssh-ed25519)", "SHA256:{0}", " SHA256:{0}="])
def test_the_fingerprint_may_be_given_as_every_tool_prints_it(
    verdelta: CommandLine, services: Services, form: str, monkeypatch: pytest.MonkeyPatch
):
    given = fingerprint(KEY).split()[0].removeprefix("SHA256:")
    hand = ByHand(
        {
            "POST host-keys/scan": (200, {"host_key": KEY, "fingerprint": fingerprint(KEY)}),
            "POST hosts": (201, a_host("web-07")),
        }
    )
    verdelta.transport = hand

    assert verdelta(*over_ssh("web-07"), "--fingerprint", form.format(given)).exit_code == 0
    assert hand.sent[-1]["host_key"] == KEY


def test_a_key_in_known_hosts_is_pinned_without_asking_the_address(verdelta: CommandLine, name: str, tmp_path: Path):
    file = tmp_path / "known_hosts"
    file.write_text(f"192.0.2.7 {OTHER_KEY}\n[192.0.2.7]:2222 {KEY}\n")

    made = verdelta(*over_ssh(name), "--port", "2222", "--known-hosts", file)

    assert made.exit_code == 0, made.output
    assert verdelta.json("host", "show", name)["host_key_fingerprint"] == fingerprint(KEY)


def test_known_hosts_without_the_address_adds_nothing(verdelta: CommandLine, name: str, tmp_path: Path):
    (tmp_path / "known_hosts").write_text(f"192.0.2.8 {KEY}\n")

    assert verdelta(*over_ssh(name), "--known-hosts", tmp_path / "known_hosts").exit_code == 2
    assert verdelta(*over_ssh(name), "--known-hosts", tmp_path / "nosuch").exit_code == 2
    assert verdelta("host", "show", name).exit_code == 2


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_on_a_terminal_the_fingerprint_is_shown_and_a_person_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
):
    hand = ByHand(
        {
            "POST host-keys/scan": (200, {"host_key": KEY, "fingerprint": fingerprint(KEY)}),
            "POST hosts": (201, a_host("web-07")),
        }
    )
    monkeypatch.setattr(host_keys, "is_interactive", lambda: True)

    result = CommandLine(tmp_path, hand)(*over_ssh("web-07"), data=answer)

    assert fingerprint(KEY) in result.stderr
    assert result.exit_code == code
    assert ("POST hosts" in hand.asked) is (code == 0)


def test_a_host_that_is_not_reached_over_ssh_has_no_key_to_pin(verdelta: CommandLine, name: str):
    assert verdelta("host", "add", name, "--reach", "check-in", "--fingerprint", "SHA256:x").exit_code == 2
    assert verdelta("host", "add", name, "--address", "192.0.2.7").exit_code == 2
    verdelta("host", "add", name, "--reach", "check-in")
    assert verdelta("host", "repin", name, "--fingerprint", "SHA256:x").exit_code == 2


def test_repin_says_what_was_pinned_and_settles_the_new_key_as_add_does(tmp_path: Path):
    shown = {"host_key": OTHER_KEY, "fingerprint": fingerprint(OTHER_KEY)}
    hand = ByHand(
        {
            "GET hosts/web-07": (200, a_host("web-07")),
            "POST host-keys/scan": (200, shown),
            "PUT hosts/web-07/host-key": (200, a_host("web-07")),
        }
    )
    verdelta = CommandLine(tmp_path, hand)

    assert verdelta("host", "repin", "web-07").exit_code == 2
    assert verdelta("host", "repin", "web-07", "--fingerprint", "SHA256:wrong").exit_code == 1
    assert "PUT hosts/web-07/host-key" not in hand.asked
    done = verdelta("host", "repin", "web-07", "--fingerprint", shown["fingerprint"])
    assert done.exit_code == 0
    assert "Pinned until now: SHA256:Zx0" in done.stderr
    assert hand.sent[-1] == {"host_key": OTHER_KEY}


# -- credentials and tokens


def test_a_private_key_that_is_none_is_refused_without_being_repeated(verdelta: CommandLine, tmp_path: Path):
    (tmp_path / "key").write_text("-----BEGIN TRASH-----\nsecret-material\n")

    result = verdelta("credential", "add", "deploy", "--private-key", tmp_path / "key")

    assert result.exit_code == 2
    assert "secret-material" not in result.output
    assert verdelta.json("credential", "list") == []


def test_a_token_is_printed_alone_once_and_ends_when_it_is_revoked(verdelta: CommandLine, name: str):
    made = verdelta("token", "create", name, "--role", "auditor", "--days", 7)
    secret = made.stdout.strip()

    assert made.stdout == f"{secret}\n" and secret.startswith("vdt_")
    assert secret not in verdelta("token", "list", "-o", "wide").output
    as_auditor = CommandLine(verdelta.folder, verdelta.transport, secret)
    assert as_auditor("host", "list").exit_code == 0
    assert as_auditor("token", "list").exit_code == 4
    assert verdelta("token", "revoke", name).exit_code == 0
    refused = as_auditor("host", "list")
    assert refused.exit_code == 4
    assert secret not in refused.output


def test_what_a_role_may_not_do_is_said_with_who_could(verdelta: CommandLine, services: Services):
    secret = a_token(services, Role.AUDITOR)

    result = CommandLine(verdelta.folder, verdelta.transport, secret)("host", "add", "x", "--reach", "check-in")

    assert result.exit_code == 4
    assert result.stderr.splitlines()[-1].strip() == "This takes a token of the role administrator."


def test_a_page_link_is_an_address_to_open(verdelta: CommandLine):
    assert verdelta("web", "link").stdout.startswith(f"{URL}/login?link=")


def test_without_any_token_the_way_to_one_is_said(tmp_path: Path):
    result = CommandLine(tmp_path, ByHand({}), token="")("host", "list")

    assert result.exit_code == 4
    assert "no token was given" in result.stderr and "verdelta init" in result.stderr


# -- releases


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "release.yaml").write_text(MANIFEST)
    (tmp_path / "labapp.py").write_text("print('hello')\n")
    return tmp_path


def test_a_release_is_built_authorised_and_shown_and_the_same_again_is_the_same(
    verdelta: CommandLine, folder: Path, name: str
):
    manifest = folder / "release.yaml"
    manifest.write_text(MANIFEST.replace("release: labapp", f"release: {name}"))

    first = verdelta.json("release", "build", manifest)
    again = verdelta("release", "build", folder)

    pinned = sha256((folder / "release.lock").read_bytes()).hexdigest()
    assert first["files"] == {"labapp.py": sha256(b"print('hello')\n").hexdigest(), "release.lock": pinned}
    assert again.exit_code == 0
    assert "labapp.py  15 B  in the library" in again.stdout
    refused = verdelta("release", "authorise", name, "1.1")
    assert refused.exit_code == 2
    assert "/opt/labapp/labapp.py" in refused.stdout and "--yes" in refused.stderr
    assert verdelta("release", "authorise", name, "1.1", "--yes").exit_code == 0
    assert "✔ authorised" in verdelta("release", "show", name, "1.1").stdout
    assert verdelta("release", "authorise", name, "1.1").exit_code == 0  # nothing is left to be asked


def test_a_version_that_was_authorised_with_other_content_is_refused_and_stays(
    verdelta: CommandLine, folder: Path, name: str
):
    manifest = folder / "release.yaml"
    manifest.write_text(MANIFEST.replace("release: labapp", f"release: {name}"))
    verdelta.json("release", "build", manifest)
    before = verdelta.json("release", "authorise", name, "1.1", "--yes")
    (folder / "labapp.py").write_text("print('other')\n")

    result = verdelta("release", "build", manifest, "--update-lock", "-o", "json")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert "exists with other content" in result.stderr and "new version" in result.stderr
    assert verdelta.json("release", "show", name, "1.1") == before


def digest_line(digest: str) -> str:
    return MANIFEST.replace("artifact: labapp.py", f'artifact: labapp.py, sha256: "{digest}"')


BAD = {
    "no YAML": ("release: [", "release.yaml:2: did not find expected node content", ""),
    "a field that is nearly right": (
        MANIFEST.replace("changes:", "chnages:"),
        'release.yaml:8: unknown field "chnages" in the manifest; did you mean "changes"?',
        "",
    ),
    "a section that is nearly right": (
        MANIFEST.replace("system.files", "system.file"),
        'release.yaml:9: unknown section "system.file" in change 1; did you mean "system.files"?',
        "",
    ),
    "another checksum": (
        digest_line("0" * 64),
        "release.yaml:6: labapp.py: checksum does not match the manifest",
        "  Replace the file",
    ),
    "a path that escapes": (
        MANIFEST.replace("artifact: labapp.py", "artifact: ../secret"),
        "release.yaml:6: ",
        "",
    ),
    "a link that escapes": (
        MANIFEST.replace("artifact: labapp.py", "artifact: link"),
        "release.yaml:6: link: a symbolic link leads out of the release folder",
        "  Copy the file into the folder",
    ),
    "a file that is missing": (
        MANIFEST.replace("artifact: labapp.py", "artifact: nosuch.py"),
        "release.yaml:6: nosuch.py: no such file",
        "  Put it there",
    ),
    "a playbook that is neither shipped nor there": (
        MANIFEST.replace("deploy_files.yml", "nosuch.yml"),
        "release.yaml:7: nosuch.yml: no such file",
        "  Put it there",
    ),
    "no text": ("release: \udcff", "release.yaml:1: not UTF-8 text", ""),
}


@pytest.mark.parametrize(("source", "said", "mend"), BAD.values(), ids=BAD)
def test_bad_input_is_named_with_its_line_and_nothing_is_sent(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, source: str, said: str, mend: str
):
    manifest, outside = folder / "release.yaml", tmp_path_factory.mktemp("outside") / "secret"
    outside.write_text("secret")
    (folder / "link").symlink_to(outside)
    manifest.write_bytes(source.encode(errors="surrogateescape"))
    hand = ByHand({})

    result = CommandLine(folder, hand)("release", "build", manifest)

    first, *rest = result.stderr.splitlines()
    assert result.exit_code == 2
    assert first.startswith(f"{folder}/{said}"), result.stderr
    assert not mend or any(line.startswith(mend) for line in rest)
    assert result.stdout == ""
    assert hand.asked == []


def test_every_file_that_is_wrong_is_named_at_once(folder: Path):
    source = MANIFEST.replace("labapp.py}", "nosuch.py}").replace("deploy_files.yml", "nosuch.yml")
    (folder / "release.yaml").write_text(source)

    result = CommandLine(folder, ByHand({}))("release", "build", folder / "release.yaml")

    assert result.exit_code == 2
    assert [line.split(":")[1] for line in result.stderr.splitlines()[:2]] == ["6", "7"]
    assert "2 files to mend; nothing was sent." in result.stderr


def test_a_dry_run_checks_everything_and_sends_nothing(folder: Path):
    hand = ByHand({})

    result = CommandLine(folder, hand)("release", "build", folder, "--dry-run")

    assert result.exit_code == 0
    assert "labapp 1.1 can be built; nothing was sent" in result.stdout.replace("\n", " ")
    assert hand.asked == []


def test_a_folder_without_a_manifest_is_named(tmp_path: Path):
    result = CommandLine(tmp_path, ByHand({}))("release", "build", tmp_path)

    assert result.exit_code == 2
    assert f"{tmp_path}/release.yaml: there is no such manifest" in result.stderr


def test_a_file_that_changes_while_it_is_sent_is_not_taken_for_what_was_checked(
    verdelta: CommandLine, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    from verdelta_controller.cli import package

    real = package.read

    def read_and_change(path: Path, *, update_lock: bool) -> package.Package:
        found = real(path, update_lock=update_lock)
        (folder / "labapp.py").write_text(content.upper())
        return found

    content = f"print('{name}')\n"
    (folder / "labapp.py").write_text(content)
    monkeypatch.setattr(package, "read", read_and_change)

    result = verdelta("release", "build", folder)

    assert result.exit_code == 2
    assert "labapp.py" in result.stderr and "checksum" in result.stderr


def test_the_schema_of_the_manifest_is_printed_without_a_controller(tmp_path: Path):
    schema = CommandLine(tmp_path, ByHand({}), token="").json("release", "schema")

    assert schema["title"] == "Verdelta release manifest"


# -- audits and differences


def test_an_audit_ends_with_3_when_something_changed_and_1_when_a_host_failed(tmp_path: Path):
    changed = delta(change("system.users", "eve", None, {"uid": 1001}))
    refused = (503, {"error": "b: not reached", "mend": "Is it on?", "exit_code": 1})
    hand = ByHand(
        {
            "GET hosts": (200, [a_host("a"), a_host("b")]),
            "GET hosts/a": (200, a_host("a")),
            "POST hosts/a/audits": (201, {"host": "a", "snapshot": snapshot(), "delta": changed}),
            "POST hosts/b/audits": refused,
        }
    )
    verdelta = CommandLine(tmp_path, hand)

    one = verdelta("audit", "a", "--changes")
    both = verdelta("audit", "--group", "web")

    assert one.exit_code == 3
    assert "! a" in one.stdout and "changed: 1 row" in one.stdout
    assert "+   eve  uid 1001" in one.stdout
    assert both.exit_code == 1
    assert "! a" in both.stdout
    assert "✖ b" in both.stderr and "not reached" in both.stderr and "Is it on?" in both.stderr


@pytest.mark.parametrize(("accepted", "code"), [([], 1), (["software.rpm"], 0)])
def test_what_could_not_be_compared_is_not_taken_for_unchanged(tmp_path: Path, accepted: list[str], code: int):
    unread = delta(unknown=["software.rpm"])
    hand = ByHand(
        {
            "GET hosts/a": (200, a_host("a", accepted_gaps=accepted)),
            "POST hosts/a/audits": (201, {"host": "a", "snapshot": snapshot(), "delta": unread}),
            "GET hosts/a/delta": (200, unread),
        }
    )
    verdelta = CommandLine(tmp_path, hand)

    assert verdelta("audit", "a").exit_code == code
    assert verdelta("diff", "a").exit_code == code


def test_an_audit_of_nothing_is_wrong_usage(tmp_path: Path):
    assert CommandLine(tmp_path, ByHand({}))("audit").exit_code == 2


def test_the_last_two_states_are_compared_and_any_two(verdelta: CommandLine, services: Services, name: str):
    scene = Scene(services)
    made = scene.host(name)
    first = scene.audit(made, {"software.dpkg": {"labapp:all": {"version": "1.0"}}})
    scene.audit(made, {"software.dpkg": {"labapp:all": {"version": "1.1"}}})
    last = scene.audit(made, {"software.dpkg": {"labapp:all": {"version": "1.2"}}})

    newest = verdelta("diff", name)
    whole = verdelta("diff", name, "--before", first.id, "--after", last.id)

    assert (newest.exit_code, whole.exit_code) == (3, 3)
    assert "version  1.1 → 1.2" in newest.stdout
    assert "version  1.0 → 1.2" in whole.stdout
    assert "Both snapshots complete (1 section)." in whole.stdout
    assert verdelta("diff", name, "--before", last.id, "--after", last.id).exit_code == 0
    assert "labapp:all  version 1.2" in verdelta("inventory", name, "software").stdout
    unknown = verdelta("inventory", name, "sofware")
    assert unknown.exit_code == 2
    assert "did you mean software?" in unknown.stderr


def a_verdict(state: str, items: list[dict], **more: object) -> ByHand:
    found = host("web-07", state, items, **more)
    return ByHand({"GET rollouts/12/hosts/web-07": (200, found), "GET hosts/web-07/delta": (200, delta())})


@pytest.mark.parametrize(
    ("state", "items", "code"),
    [
        ("verified", [UPGRADE], 3),
        ("verified", [], 0),
        ("at_variance", [EVE], 3),
        ("indeterminate", [], 1),
        ("failed", [], 1),
        ("backed_out", [], 0),
        ("installing", [], 5),
    ],
)
def test_the_differences_of_a_rollout_are_shown_with_the_verdict(tmp_path: Path, state: str, items: list, code: int):
    assert CommandLine(tmp_path, a_verdict(state, items))("diff", "web-07", "--rollout", 12).exit_code == code


def test_one_host_of_a_rollout_shows_why_it_is_where_it_is(tmp_path: Path):
    hand = a_verdict(
        "failed", [EVE], reason="web-07: Install: no\x1b such\npackage", install_error="no\x1b such\npackage"
    )

    result = CommandLine(tmp_path, hand)("rollout", "show", 12, "web-07")

    assert result.exit_code == 0
    assert "state      ✖ failed" in result.stdout
    assert "why        Install: no\\x1b such\n           package" in result.stdout
    assert "!+  eve" in result.stdout


# -- roll-outs


def test_a_dry_run_shows_the_waves_and_begins_nothing(
    verdelta: CommandLine, services: Services, folder: Path, name: str
):
    (folder / "release.yaml").write_text(MANIFEST.replace("release: labapp", f"release: {name}"))
    verdelta("release", "build", folder)
    for number in (3, 1, 2):
        verdelta("host", "add", f"{name}-{number}", "--reach", "check-in", "--group", name)

    planned = verdelta.json("rollout", "start", name, "1.1", "--group", name, "--wave-size", 2, "--dry-run")
    shown = verdelta("rollout", "start", name, "1.1", "--group", name, "--dry-run").stdout

    assert planned["waves"] == [[f"{name}-1", f"{name}-2"], [f"{name}-3"]]
    assert "not authorised yet" in shown and "cannot be pushed to" in shown
    assert verdelta.json("rollout", "list") == []
    assert verdelta("rollout", "start", name, "1.1", "--group", name).exit_code == 5
    assert verdelta("rollout", "start", name, "1.1").exit_code == 2
    assert verdelta("rollout", "start", name, "9.9", "--group", name).exit_code == 2


@pytest.mark.parametrize("command", [["cancel", 12], ["back-out", 12], ["back-out", 12, "--host", "web-07"]])
def test_what_cannot_be_undone_is_asked_for_first(tmp_path: Path, command: list):
    view = rollout("suspended", wave(1, "paused", host("web-07", "at_variance", [EVE])))
    hand = ByHand(
        {
            "GET rollouts/12": (200, view),
            "POST rollouts/12/cancel": (200, view),
            "POST rollouts/12/back-out": (200, view),
        }
    )
    verdelta = CommandLine(tmp_path, hand)

    refused = verdelta("rollout", *command)
    assert refused.exit_code == 2
    assert "roll-out 12 of labapp 1.1" in refused.stderr and "--yes" in refused.stderr
    assert [asked for asked in hand.asked if asked.startswith("POST")] == []
    assert verdelta("rollout", *command, "--yes").exit_code == 0
    assert len([asked for asked in hand.asked if asked.startswith("POST")]) == 1


def test_json_is_the_documents_of_the_api_and_nothing_else(tmp_path: Path):
    view = rollout("suspended", wave(1, "paused", host("web-07\x1b", "at_variance", [EVE])))
    verdelta = CommandLine(tmp_path, ByHand({"GET rollouts/12": (200, view)}))

    assert verdelta.json("rollout", "status", 12) == view
    assert verdelta("rollout", "status", 12, "-o", "json").stdout.replace("\n", "").isprintable()
    assert yaml.safe_load(verdelta("rollout", "status", 12, "-o", "yaml").stdout) == view


# -- evidence


def test_the_key_of_the_evidence_stands_alone_and_a_checkpoint_is_printed_to_the_byte(verdelta: CommandLine):
    key, checkpoint = verdelta("evidence", "key"), verdelta("evidence", "checkpoint")

    assert key.stdout == verdelta.json("evidence", "key")["key"] + "\n"
    assert checkpoint.stdout == verdelta.json("evidence", "checkpoint")["checkpoint"]


def test_the_log_is_held_against_checkpoints_that_were_kept(verdelta: CommandLine, tmp_path: Path, name: str):
    kept = tmp_path / "kept"
    kept.write_text(verdelta("evidence", "checkpoint").stdout)
    verdelta("host", "add", name, "--reach", "check-in")

    agreed = verdelta("evidence", "check", "--checkpoint", kept)

    assert agreed.exit_code == 0, agreed.output
    assert agreed.stdout.startswith("✔ holds: ") and "agrees with 1 checkpoint" in agreed.stdout
    assert "only a kept --checkpoint tells" in verdelta("evidence", "check").stdout
    assert verdelta("evidence", "check", "--checkpoint", tmp_path / "nosuch").exit_code == 2


def test_a_log_that_does_not_hold_is_a_failure(tmp_path: Path):
    found = {
        "holds": False,
        "entries": 3,
        "root": "",
        "agreed": None,
        "first_broken": 3,
        "reason": "entry 3\x1b changed",
    }

    result = CommandLine(tmp_path, ByHand({"POST evidence/check": (200, found)}))("evidence", "check")

    assert result.exit_code == 1
    assert result.stdout == "✖ does not hold from entry 3 on: entry 3\\x1b changed\n"


def test_the_evidence_of_a_rollout_is_written_whole_or_not_at_all(tmp_path: Path):
    verdelta = CommandLine(tmp_path, ByHand({"GET rollouts/12/evidence": (200, '{"x": "\u2028"}\n')}))
    target = tmp_path / "rollout-12.json"

    assert verdelta("rollout", "export", 12, "--file", target).exit_code == 0
    assert target.read_text() == '{"x": "\u2028"}\n'
    assert verdelta("rollout", "export", 12).stdout == '{"x": "\u2028"}\n'
    assert verdelta("rollout", "export", 13, "--file", tmp_path / "other").exit_code == 2
    assert verdelta("rollout", "export", 12, "--file", tmp_path / "nosuch" / "file").exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["rollout-12.json"]
