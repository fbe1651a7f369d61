"""The pages in a real browser, from a real server: they keep their policy, are live, and can be read in every way."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from tests.support.scene import Scene
from tests.support.web import a_controller, a_token

from verdelta_agent.model import Section, failed
from verdelta_controller.app import create_app
from verdelta_controller.rollouts.installers.listener import Step
from verdelta_controller.wiring import Services

expect.set_options(timeout=30_000)  # milliseconds: a busy machine may take so long
CHROMIUM = "/usr/bin/chromium"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(not os.access(CHROMIUM, os.X_OK), reason=f"needs {CHROMIUM} (scripts/install-debian-packages)"),
]

OLD = {
    "software.dpkg": {"labapp:all": {"version": "1.0", "state": "installed", "hold": False}},
    "system.units": {"labapp.service": {"enabled": "disabled"}},
    "system.files": {},
    "system.users": {},
    "system.host": {"os": {"pretty_name": "Debian GNU/Linux 12 (bookworm)", "architecture": "x86_64"}},
}
NEW = {
    **OLD,
    "software.dpkg": {"labapp:all": {"version": "1.1", "state": "installed", "hold": False}},
    "system.units": {"labapp.service": {"enabled": "enabled"}},
    "system.files": {"/etc/labapp.conf": {"mode": "0644", "digest": "ab" * 32}},
}
ODD = {**NEW, "system.users": {"eve": {"uid": 1001, "shell": "/bin/bash"}}}
EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>\u202egnp.exe\x1b[31m" + "A" * 10_000

PAGES = [
    "/",
    "/?q=none-such",
    "/hosts/web-02",
    "/hosts/hostile",
    "/hosts/hostile/inventory/system.users",
    "/hosts/web-02/inventory/software.dpkg",
    "/rollouts",
    "/rollouts/1",
    "/rollouts/1?hosts=all",
    "/rollouts/1/hosts/web-02",
    "/rollouts/2",
    "/nothing",
]
SIZES = {"wide": {"width": 1280, "height": 800}, "narrow": {"width": 360, "height": 740}}

# Returns the texts whose contrast is too low: WCAG 2.1 asks for 4.5, and for 3 where they are large.  Colours of any
# notation are turned into red, green and blue by drawing them.
TOO_FAINT = """() => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 1, height: 1});
  const pen = canvas.getContext("2d", {willReadFrequently: true});
  const drawn = (colours) => {
    pen.clearRect(0, 0, 1, 1);
    for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => rgb
    .map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = (element) => getComputedStyle(element).backgroundColor;
  const grounds = (element) => element ? [...grounds(element.parentElement), ground(element)] : ["white"];
  const faint = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility({visibilityProperty: true})) continue;
    const style = getComputedStyle(element), below = grounds(element);
    const [low, high] = [luminance(drawn(below)), luminance(drawn([...below, style.color]))].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < (large ? 3 : 4.5)) faint.push(`${contrast.toFixed(2)}: ${texts.currentNode.data.slice(0, 60)}`);
  }
  return faint;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser that ends with this module: beside its event loop no test could run one of its own."""
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]
    arguments = ["--no-sandbox", "--disable-gpu", "--no-first-run", *quiet]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@contextmanager
def serving(services: Services, port: int = 0) -> Iterator[str]:
    """Yield the address of a server of the application, which runs for as long as this does."""
    config = uvicorn.Config(
        create_app(services), port=port, lifespan="off", log_level="error", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    running = threading.Thread(target=server.run)
    running.start()
    try:
        while not server.started:
            assert running.is_alive(), "the server did not start"
            running.join(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        running.join()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Roll-out 1 is suspended: web-02 is at variance, web-03 failed.  Roll-out 2 runs, on a hostile host."""
    with a_controller(tmp_path_factory.mktemp("controller")) as services:
        scene = Scene(services)
        one, two, three, four = (scene.host(f"web-0{n}", environment="live", groups=["web"]) for n in range(1, 5))
        before = {host.id: scene.audit(host, OLD) for host in (one, two, three, four)}
        number = scene.rollout(scene.release(), [one, two, three, four], 3)
        for host, after, error in ((one, NEW, ""), (two, ODD, ""), (three, OLD, "E: no package\nExit code 100")):
            scene.install(number, host, before[host.id])
            scene.conclude(number, host, before[host.id], scene.audit(host, after), error)
        scene.close_wave(number, 1)
        hostile = scene.host("hostile")
        scene.audit(hostile, OLD)
        users = Section("ok", {EVIL: {EVIL: EVIL, "list": [EVIL]}}, {EVIL: {EVIL: EVIL}}, EVIL)
        snapshot = scene.audit(hostile, {**OLD, "system.users": users, "software.rpm": failed(EVIL)})
        number = scene.rollout(scene.release("6.6"), [hostile])
        scene.install(number, hostile, snapshot)
        services.rollouts._progress.note(number, Step("hostile", "started", EVIL))
        yield scene


@pytest.fixture(scope="module")
def address(scene: Scene) -> Iterator[str]:
    with serving(scene.services) as address:
        yield address


@contextmanager
def watched(browser: Browser, address: str, services: Services, **given: Any) -> Iterator[Page]:
    """Yield a page of someone who is logged in; at the end, nothing may have been complained of in the browser."""
    said: list[str] = []
    context: BrowserContext = browser.new_context(base_url=address, **given)
    context.on("console", lambda message: said.append(f"{message.page.url if message.page else ''} {message.text}"))
    context.on("weberror", lambda error: said.append(str(error.error)))
    context.on("dialog", lambda dialog: (said.append(f"dialog {dialog.message}"), dialog.dismiss()))
    secret = services.access.open_session(_token(services))
    context.add_cookies([{"name": "verdelta_session", "value": secret, "url": address}])
    yield context.new_page()
    context.close()
    expected = "/nothing Failed to load resource: the server responded with a status of 404 (Not Found)"
    assert [line for line in said if not line.endswith(expected)] == []


def _token(services: Services) -> str:
    for token in services.access.tokens():
        services.access.revoke_token(token.name)
    return a_token(services)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_keeps_its_policy_fits_and_can_be_read(browser, address, scene, scheme, size):
    with watched(browser, address, scene.services, color_scheme=scheme, viewport=SIZES[size]) as page:
        for path in [*PAGES, "/login"]:
            page.goto(path)
            expect(page.locator("h1")).to_be_visible()
            too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert too_wide == 0, path
            assert page.evaluate(TOO_FAINT) == [], path
        red, *_ = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (red < 64) == (scheme == "dark")


def test_without_scripts_everything_is_there_and_a_running_roll_out_is_looked_at_again(browser, address, scene):
    with watched(browser, address, scene.services, java_script_enabled=False) as page:
        page.goto("/rollouts/1")
        expect(page.get_by_role("heading", name="Wave 1")).to_be_visible()
        expect(page.get_by_text("added, not authorised")).to_be_visible()
        verified = page.locator(".host", has_text="web-01")
        expect(verified.locator("table")).to_be_hidden()
        verified.locator("summary").click()
        expect(verified.locator("table")).to_be_visible()
        expect(page.locator('meta[http-equiv="refresh"]')).to_have_count(0)

        page.goto("/rollouts/2")
        expect(page.locator('meta[http-equiv="refresh"]')).to_have_attribute("content", "10")
        expect(page.locator("#live")).to_contain_text("As of ")


def test_logging_in_with_a_link_and_out_again(browser, address, scene):
    context = browser.new_context(base_url=address)
    page = context.new_page()
    page.goto("/rollouts/1")
    expect(page.get_by_label("API token")).to_be_focused()

    page.goto(f"/login?link={scene.services.access.create_link(_token(scene.services))}&next=/rollouts/1")
    page.get_by_role("button", name="Open the pages").click()
    expect(page.get_by_role("heading", name="labapp 1.1")).to_be_visible()
    assert page.url == f"{address}/rollouts/1"

    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("API token")).to_be_visible()
    page.goto("/")
    expect(page.get_by_label("API token")).to_be_visible()
    context.close()


def test_a_running_roll_out_is_followed_without_a_reload_and_leaves_alone_what_a_person_did(browser, address, scene):
    one, two = scene.host("live-01"), scene.host("live-02")
    before = {host.id: scene.audit(host, OLD) for host in (one, two)}
    number = scene.rollout(scene.release("2.0"), [one, two])
    with watched(browser, address, scene.services) as page:
        page.goto(f"/rollouts/{number}")
        page.evaluate("window.sameDocument = true")
        expect(page.locator("#live")).to_contain_text("Live")
        expect(page.get_by_text("0 of 2 hosts done")).to_be_visible()

        scene.install(number, one, before[one.id])
        scene.services.rollouts._progress.note(number, Step("live-01", "started", "Install the packages"))
        expect(page.locator(".host", has_text="live-01")).to_contain_text("installing")
        expect(page.locator(".host", has_text="live-01")).to_contain_text("Install the packages")

        later = {**NEW, "software.dpkg": {"labapp:all": {"version": "2.0", "state": "installed", "hold": False}}}
        scene.conclude(number, one, before[one.id], scene.audit(one, later))
        first = page.locator("details.host", has_text="live-01")
        expect(first).to_contain_text("verified")
        first.locator("summary").click()
        expect(first.locator("table")).to_be_visible()
        page.get_by_role("link", name="Roll-outs").first.focus()

        scene.install(number, two, before[two.id])
        scene.conclude(number, two, before[two.id], scene.audit(two, {**later, "system.users": ODD["system.users"]}))
        expect(page.locator("details.host", has_text="live-02").get_by_text("added, not authorised")).to_be_visible()
        expect(first.locator("table")).to_be_visible()
        expect(page.get_by_role("link", name="Roll-outs").first).to_be_focused()

        scene.close_wave(number, 1)
        expect(page.locator("#summary")).to_contain_text("suspended")
        expect(page.locator("#summary")).to_contain_text(f"verdelta rollout resume {number}")
        expect(page.locator("#live")).to_contain_text("at rest")
        expect(page).to_have_title("labapp 2.0: suspended · Verdelta")
        assert page.evaluate("window.sameDocument") is True


def test_a_connection_that_is_lost_is_seen_and_found_again(browser, tmp_path: Path):
    with a_controller(tmp_path) as services:
        scene = Scene(services)
        host = scene.host("web-01")
        number = scene.rollout(scene.release(), [host])
        with serving(services) as address:
            context = browser.new_context(base_url=address)
            page = context.new_page()
            secret = services.access.open_session(a_token(services))
            context.add_cookies([{"name": "verdelta_session", "value": secret, "url": address}])
            page.goto(f"/rollouts/{number}")
            expect(page.locator("#live")).to_contain_text("Live")
        expect(page.locator("#live")).to_contain_text("The connection is lost")

        scene.install(number, host, scene.audit(host, OLD))
        with serving(services, int(address.rpartition(":")[2])):
            expect(page.locator("#live")).to_contain_text("Live", timeout=20_000)
            expect(page.locator(".host", has_text="web-01")).to_contain_text("installing")
            context.close()
