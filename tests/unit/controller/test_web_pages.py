"""What the pages show of hosts, their history and roll-outs, and that hostile hosts get nowhere with them."""

import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from tests.support.scene import Scene
from tests.support.web import TestClient, a_client, a_controller, a_token, log_in

from verdelta_agent.model import Section, failed
from verdelta_controller.web import hosts, rollouts

OLD = {
    "software.dpkg": {"labapp:all": {"version": "1.0"}, "nginx:amd64": {"version": "1.24"}},
    "system.units": {"labapp.service": {"enabled": "disabled"}},
    "system.files": {},
    "system.host": {"os": {"pretty_name": "Debian GNU/Linux 12 (bookworm)", "architecture": "x86_64"}},
    "system.users": {},
}
NEW = {
    **OLD,
    "software.dpkg": {"labapp:all": {"version": "1.1"}, "nginx:amd64": {"version": "1.24"}},
    "system.units": {"labapp.service": {"enabled": "enabled"}},
    "system.files": {"/etc/labapp.conf": {"mode": "0644"}},
}
ODD = {**NEW, "system.users": {"eve": {"uid": 1001, "shell": "/bin/bash"}}}


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Iterator[Scene]:
    """web-01 is verified, web-02 at variance, web-03 failed, web-04 waits, web-05 was never audited."""
    with a_controller(tmp_path_factory.mktemp("controller")) as services:
        scene = Scene(services)
        given = {"environment": "live", "groups": ["web"], "reach": "check-in"}
        one, two, three, four = (scene.host(f"web-0{n}", **given) for n in range(1, 5))
        scene.host("web-05", environment="test")
        before = {host.id: scene.audit(host, OLD) for host in (one, two, three, four)}
        number = scene.rollout(scene.release(), [one, two, three, four], 3)
        for host, after, error in ((one, NEW, ""), (two, ODD, ""), (three, OLD, "E: no package\nExit code 100")):
            scene.install(number, host, before[host.id])
            scene.conclude(number, host, before[host.id], scene.audit(host, after), error)
        scene.close_wave(number, 1)
        yield scene


@pytest.fixture(scope="module")
def client(scene) -> TestClient:
    client = a_client(scene.services)
    log_in(client, a_token(scene.services))
    return client


def shown(client: TestClient, path: str, status: int = 200) -> str:
    """Return the text of a page, without its marks, in one line."""
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    main = re.search(r"<main.*</main>", answer.text, re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", main.group()).split())


# -- hosts


def test_the_hosts_are_listed_with_their_state_audit_and_gaps(client):
    text = shown(client, "/")
    assert "Hosts 5" in text
    assert "web-01 verified labapp 1.1 just now" in text
    assert "web-02 at variance labapp 1.1" in text
    assert "web-03 failed labapp 1.1" in text
    assert "web-04 waiting labapp 1.1" in text
    assert "web-05 none never not audited test none its agent calls" in text


@pytest.mark.parametrize(
    "query, names",
    [
        ("q=WEB-01", ["web-01"]),
        ("group=web&environment=live", ["web-01", "web-02", "web-03", "web-04"]),
        ("environment=test", ["web-05"]),
        ("q=nothing", []),
        ("q=%25&group=%00", []),
    ],
)
def test_hosts_are_found_by_text_group_and_environment(client, query, names):
    assert re.findall(r'href="/hosts/([\w-]+)"', client.get(f"/?{query}").text) == names


def test_a_long_list_comes_in_pages_that_keep_what_was_asked_for(client, monkeypatch):
    monkeypatch.setattr(hosts, "HOSTS", 2)
    page = client.get("/?group=web&offset=0").text
    assert 'rel="next" href="/?offset=2&amp;group=web"' in page
    assert 'rel="prev"' not in page
    last = client.get("/?group=web&offset=2").text
    assert "3\u20134 of 4" in last
    assert 'rel="prev" href="/?group=web"' in last
    assert 'rel="next"' not in last


@pytest.mark.parametrize("query", ["offset=-1", "offset=x", f"offset={1 << 70}", f"q={'x' * 300}"])
def test_a_query_that_makes_no_sense_is_refused_with_its_name(client, query):
    assert query.partition("=")[0] in shown(client, f"/?{query}", 422)


def test_who_has_no_hosts_yet_is_told_how_to_add_one(tmp_path):
    with a_controller(tmp_path) as services:
        client = a_client(services)
        log_in(client, a_token(services))
        assert "verdelta host add" in shown(client, "/")
        assert "verdelta rollout start" in shown(client, "/rollouts")


# -- one host


def test_a_host_is_shown_with_each_change_field_by_field_and_what_explains_it(client):
    text = shown(client, "/hosts/web-02")
    assert "Debian GNU/Linux 12 (bookworm) x86_64" in text
    assert "at variance labapp 1.1 , roll-out 1" in text
    assert "added eve shell /bin/bash uid 1001 unexpected" in text
    assert "changed labapp:all version 1.0 → 1.1 matched" in text
    assert "added /etc/labapp.conf mode 0644 matched" in text
    assert "nginx" not in text, "it did not change"
    assert text.index("eve") < text.index("labapp:all"), "what nobody authorised comes first"
    assert "First audit 5 sections" in text


def test_a_change_that_no_deployment_explains_says_so(scene, client):
    host = scene.host("drifting")
    scene.audit(host, OLD)
    scene.audit(host, {**OLD, "software.dpkg": {}})
    text = shown(client, "/hosts/drifting")
    assert "2 removed no deployment explains this" in text
    assert "removed labapp:all version 1.0" in text


def test_what_could_not_be_read_is_said_and_never_shown_as_removed(scene, client):
    host = scene.host("partial", accepted_gaps=["system.users"])
    scene.audit(host, OLD)
    scene.audit(
        host, {**OLD, "software.dpkg": failed("database is locked"), "system.users": Section("ok", {}, {}, "no shadow")}
    )
    text = shown(client, "/hosts/partial")
    assert "Not compared, because one side could not be read: software.dpkg" in text
    assert "0 removed" not in text
    assert "labapp:all" not in text
    assert "software.dpkg unreadable database is locked" in text
    assert "system.users partial accepted no shadow" in text
    assert "unreadable software.dpkg partial system.users" in shown(client, "/?q=partial")


def test_a_host_that_was_never_audited_says_what_to_run(client):
    assert "verdelta audit web-05" in shown(client, "/hosts/web-05")


def test_a_long_history_comes_in_pages(scene, client):
    host = scene.host("restless")
    for version in range(2 * hosts.STATES + 1):
        scene.audit(host, {"software.dpkg": {"labapp:all": {"version": str(version)}}})
    newest = client.get("/hosts/restless").text
    assert newest.count('class="entry"') == hosts.STATES
    older = client.get(re.search(r'href="(/hosts/restless\?before=\d+)"', newest).group(1)).text
    oldest = shown(client, re.search(r'href="(/hosts/restless\?before=\d+)"', older).group(1))
    assert "First audit" in oldest
    assert "0 → 1" not in oldest
    assert "0 → 1" in " ".join(re.sub(r"<[^>]*>", "", older).split())


def test_a_change_of_many_rows_is_cut_and_has_a_page_of_its_own(scene, client, monkeypatch):
    host = scene.host("upgraded")
    many = hosts.CHANGES + 10
    for version in ("1", "2"):
        after = scene.audit(host, {"software.dpkg": {f"package-{n:03d}": {"version": version} for n in range(many)}})
    page = client.get("/hosts/upgraded").text
    assert f"All {many} changes" in page
    assert f"package-{hosts.CHANGES:03d}" not in page
    assert f"package-{many - 1:03d}" in shown(client, f"/hosts/upgraded/changes/{after.id}")

    monkeypatch.setattr(hosts, "CHANGES_ALONE", 20)
    assert f"21\u201340 of {many}" in shown(client, f"/hosts/upgraded/changes/{after.id}?offset=20")


@pytest.mark.parametrize(
    "number, status", [("0", 404), ("1", 404), ("99999", 404), ("-1", 422), ("x", 422), (1 << 80, 422)]
)
def test_changes_that_are_not_there_are_not_found(client, number, status):
    shown(client, f"/hosts/web-01/changes/{number}", status)


def test_changes_of_another_host_are_not_found(scene, client):
    of_other = scene.services.inventory.last_known(scene.services.fleet.host_named("web-02").id)
    shown(client, f"/hosts/web-01/changes/{of_other.id}", 404)


# -- inventory


def test_a_section_is_shown_row_by_row_and_searched(client):
    assert "2 rows complete" in shown(client, "/hosts/web-02/inventory/software.dpkg")
    found = shown(client, "/hosts/web-02/inventory/software.dpkg?q=1.24")
    assert "1 row found" in found
    assert "nginx:amd64 1.24" in found
    assert "labapp" not in found
    assert "No row has that" in shown(client, "/hosts/web-02/inventory/software.dpkg?q=none")


def test_a_large_section_comes_in_pages(scene, client):
    host = scene.host("large")
    scene.audit(host, {"system.files": {f"/etc/{n:04d}": {"mode": "0644"} for n in range(hosts.ROWS + 1)}})
    page = client.get("/hosts/large/inventory/system.files?q=/etc").text
    assert f"offset={hosts.ROWS}&amp;q=%2Fetc" in page
    assert f"{hosts.ROWS + 1} of {hosts.ROWS + 1}" in shown(
        client, f"/hosts/large/inventory/system.files?offset={hosts.ROWS}"
    )


@pytest.mark.parametrize("path", ["/hosts/web-05/inventory/software.dpkg", "/hosts/web-01/inventory/nothing"])
def test_a_section_that_was_not_reported_is_not_found(client, path):
    assert "verdelta audit web-0" in shown(client, path, 404)


def test_fields_that_most_rows_lack_share_a_column():
    rows = {"a": {"version": "1", "odd": True}, "b": {"version": "2"}, "c": {"version": "3"}}
    assert hosts.columns(rows) == ["version"]
    assert hosts.columns({"a": {str(n): n for n in range(hosts.COLUMNS + 1)}}) == []
    assert hosts.columns({}) == []


# -- roll-outs


def test_roll_outs_are_listed_with_how_their_hosts_stand(client):
    assert "1 labapp 1.1 suspended 1 verified 1 at variance 1 failed 1 waiting" in shown(client, "/rollouts")


def test_a_roll_out_is_shown_wave_by_wave_host_by_host_item_by_item(client):
    text = shown(client, "/rollouts/1")
    assert "3 of 4 hosts done" in text
    assert "Wave 1 paused" in text
    assert "at variance web-02 3 matched 1 unexpected" in text
    assert "unexpected system.users eve added, not authorised" in text
    assert "The installer said: E: no package" in text
    assert text.index("web-02 3 matched") < text.index("verified web-01"), "who needs a person comes first"
    assert "Wave 2 waiting 1 waiting waiting web-04" in text
    assert "hx-sse" not in client.get("/rollouts/1").text, "nothing goes on: there is nothing to follow"


def test_a_host_that_is_not_as_released_is_open_and_the_others_are_not(client):
    page = client.get("/rollouts/1").text
    details = re.findall(r'<details class="host[^>]*id="host-1-web-(\d+)-[^"]*"( open)?>', page)
    assert {name: bool(is_open) for name, is_open in details} == {"01": False, "02": True, "03": True}


def test_the_verdict_of_one_host_is_shown_whole_with_its_evidence(client):
    text = shown(client, "/rollouts/1/hosts/web-02")
    assert "web-02 at variance 3 matched 1 unexpected" in text
    assert f"Audit before {'b' * 64} Audit after {'a' * 64}" in text
    assert "There is no verdict yet." in shown(client, "/rollouts/1/hosts/web-04")


def test_a_long_verdict_comes_in_pages_and_its_host_lists_the_worst_of_it(client, monkeypatch):
    monkeypatch.setattr(rollouts, "ITEMS_ALONE", 3)
    first = client.get("/rollouts/1/hosts/web-02").text
    assert 'rel="next" href="/rollouts/1/hosts/web-02?offset=3"' in first
    assert "eve" in first
    assert "4\u20134 of 4" in shown(client, "/rollouts/1/hosts/web-02?offset=3")


@pytest.mark.parametrize(
    "path, status",
    [
        ("/rollouts/99", 404),
        ("/rollouts/99/live", 404),
        ("/rollouts/99/hosts/web-01", 404),
        ("/rollouts/1/hosts/web-99", 404),
        ("/rollouts/x", 422),
        (f"/rollouts/{1 << 80}", 422),
        ("/hosts/nobody", 404),
        ("/hosts/nobody/inventory/x", 404),
        ("/hosts/..%2f..%2fetc", 404),
        ("/nothing", 404),
    ],
)
def test_what_is_not_there_is_a_page_that_says_so(client, path, status):
    assert str(status) in shown(client, path, status)


def test_of_a_large_roll_out_those_hosts_are_listed_that_need_a_person():
    def host(number: int, state: str) -> dict[str, object]:
        return {"host": f"web-{number:03d}", "state": state, "items": []}

    calm = [host(number, "verified") for number in range(200)]
    loud = [host(900, "indeterminate"), host(901, "installing")]
    waves = [{"number": 1, "state": "passed", "hosts": calm}, {"number": 2, "state": "running", "hosts": loud}]

    first, second = rollouts.waves_shown(waves, 10)
    assert [one["host"] for one in second.hosts] == ["web-900", "web-901"]
    assert (len(first.hosts), first.unlisted, first.tally) == (8, 192, {"verified": 200})
    assert sum(len(wave.hosts) for wave in rollouts.waves_shown(waves, None)) == 202


@pytest.mark.parametrize(
    "state, waves, cancelled, commands",
    [
        ("running", ["running"], False, ["status 7 -w", "cancel 7"]),
        ("running", ["running"], True, ["status 7 -w"]),
        ("backing_out", ["stopped"], False, ["status 7 -w"]),
        ("suspended", ["paused"], False, ["show 7 web-02", "resume 7", "back-out 7", "cancel 7"]),
        ("suspended", ["stopped"], False, ["show 7 web-02", "back-out 7", "cancel 7"]),
        ("finished", ["passed"], False, ["back-out 7"]),
    ],
)
def test_the_next_commands_are_those_that_can_be_run(state, waves, cancelled, commands):
    hosts_there = [
        {"host": "web-01", "state": "verified", "installed_at": "2026-11-22T10:00:00+00:00"},
        {"host": "web-02", "state": "at_variance", "installed_at": None},
    ]
    view = {
        "id": 7,
        "purpose": "deployment",
        "state": state,
        "cancelled": cancelled,
        "waves": [{"number": 1, "state": wave, "hosts": hosts_there} for wave in waves],
    }
    assert [step.line for step in rollouts.next_steps(view)] == [f"verdelta rollout {line}" for line in commands]


def test_after_a_rehearsal_what_it_changed_is_reviewed_first():
    there = {"host": "test-01", "state": "at_variance", "installed_at": "2026-11-22T10:00:00+00:00"}
    view = {
        **{"id": 7, "release": "labapp", "version": "1.1", "purpose": "rehearsal", "state": "finished"},
        **{"cancelled": False, "waves": [{"number": 1, "state": "passed", "hosts": [there]}]},
    }
    review = "verdelta release rehearsed labapp 1.1"
    assert [step.line for step in rollouts.next_steps(view)] == [review, "verdelta rollout back-out 7"]


# -- hostile hosts


EVIL = "\"'><script>alert(1)</script><hx-partial hx-target='#summary'>\u202egnp.exe\x1b[31m\x00"


def test_whatever_a_host_says_is_escaped_cut_and_spelt_out(scene, client):
    host = scene.host("hostile")
    scene.audit(host, OLD)
    rows = {EVIL * 3: {"shell": "A" * 10_000, EVIL: EVIL, "list": [EVIL, None], "lines": "one\ntwo\r\nthree"}}
    users = Section("ok", rows, {EVIL: {EVIL: EVIL}}, EVIL)
    after = scene.audit(host, {**OLD, "system.users": users, "software.rpm": failed(EVIL * 99)})
    number = scene.rollout(scene.release("6.6"), [host])
    scene.install(number, host, after)
    odd = {**OLD, "system.users": {EVIL: {EVIL: EVIL}}}
    scene.conclude(number, host, after, scene.audit(host, odd), EVIL)

    for path in (
        "/",
        "/hosts/hostile",
        "/hosts/hostile/inventory/system.users",
        f"/hosts/hostile/changes/{after.id}",
        f"/rollouts/{number}",
        f"/rollouts/{number}/hosts/hostile",
    ):
        page = client.get(path).text
        assert "<script>alert" not in page, path
        assert "<hx-partial" not in page, path
        assert "</main>" in page, path
        assert all(character.isprintable() or character == "\n" for character in page), path
    assert "\\u202e" in client.get("/hosts/hostile").text
    assert "9,700 more characters" in client.get("/hosts/hostile").text


@pytest.mark.parametrize(
    "path", ["/?q={}", "/hosts/{}", "/nothing/{}", "/login?link={}&next=/{}", "/rollouts/1?hosts={}"]
)
def test_whatever_an_address_says_is_escaped(client, path):
    page = client.get(path.replace("{}", quote(EVIL, safe=""))).text
    assert "<script>alert" not in page
    assert "</main>" in page


# -- headers


@pytest.mark.parametrize("path", ["/", "/login", "/hosts/web-01", "/nothing", "/api/v1/hosts", "/api/v1/nothing"])
def test_every_answer_binds_the_browser_and_is_kept_by_nobody(client, path):
    headers = client.get(path).headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


def test_no_page_but_a_live_one_runs_a_script(client):
    for path in ("/", "/hosts/web-02", "/rollouts", "/rollouts/1", "/nothing"):
        assert "<script" not in client.get(path).text
