"""The page in a real browser: Debian's headless Chromium, driven by Playwright.

Skipped with the reason where there is no Chromium; `.ci/run` installs it.
"""

import dataclasses
import shutil
import time

import numpy as np
import pytest

from worldsim.data.store import Footage
from worldsim.play.guard import Access

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
ARGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pong():
    """The shipped world, compiled once for this file."""
    from worldsim.play.stepper import Stepper
    from worldsim.world import find_world, load_world

    folder = find_world("pong")
    return folder, Stepper(load_world(folder), 2)


@pytest.fixture
def tabs(browser):
    """Open tabs of a server; errors of the page's own code fail the test."""
    contexts, errors = [], []

    def open_tab(running, path="/", **settings):
        contexts.append(browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | settings)))
        tab = contexts[-1].new_page()
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(f"http://{running.address}{path}")
        return tab

    yield open_tab
    for context in contexts:
        context.close()
    assert errors == []


def until(tab, condition: str, seconds: float = 30.0):
    """Wait until a condition holds in the page (its security policy forbids the waiting of Playwright)."""
    end = time.monotonic() + seconds
    while not (value := tab.evaluate(condition)):
        assert time.monotonic() < end, f"{condition} did not come true; {tab.evaluate('worldsim.status')}"
        time.sleep(0.02)
    return value


def pixels(tab) -> np.ndarray:
    """The dream's canvas, uint8 [h w 3], exact."""
    height, width = tab.evaluate("worldsim.hello.world.size")
    flat = tab.evaluate("Array.from(worldsim.pixels())")
    return np.array(flat, np.uint8).reshape(height, width, 4)[..., :3]


def paddle_row(obs: np.ndarray) -> float:
    """The middle row of Pong's green paddle."""
    green = obs[11:59, 54:60, 1].astype(int) - obs[11:59, 54:60, 0].astype(int)
    rows = np.flatnonzero(green.max(axis=1) > 20)
    return float(rows.mean()) if len(rows) else float("nan")


def held(tab) -> None:
    """Hold the world, so that the canvas stays."""
    tab.keyboard.press("p")
    until(tab, "worldsim.status.paused")
    time.sleep(0.15)


def test_the_page_shows_the_world_its_keys_and_its_numbers(serve, tabs, pong):
    tab = tabs(serve(pong))
    until(tab, "window.worldsim?.frames > 5")
    assert tab.title() == "Pong"
    assert tab.locator("#overlay").is_hidden()
    assert [text.split() for text in tab.locator("#caps li").all_inner_texts()] == [["↑", "up"], ["↓", "down"]]
    box = tab.locator("#dream").bounding_box()
    assert box["width"] == box["height"] and box["width"] % 64 == 0
    until(tab, "document.querySelector('#fps').textContent.includes('of 15')")


@pytest.mark.parametrize(("key", "sign"), [("ArrowUp", -1), ("ArrowDown", 1)])
def test_keys_move_the_paddle_the_right_way(serve, tabs, pong, key, sign):
    tab = tabs(serve(pong))
    until(tab, "window.worldsim?.frames > 3")
    moves = []
    for _ in range(3):  # from three recorded contexts, since a paddle may be at its end already
        count = tab.evaluate("worldsim.frames")
        tab.keyboard.press("n")
        until(tab, f"worldsim.frames > {count + 2}")
        before = paddle_row(pixels(tab))
        tab.keyboard.down(key)
        assert tab.locator(f".cap.held[data-key={key}]").count() == 1
        count = tab.evaluate("worldsim.frames")
        until(tab, f"worldsim.frames > {count + 4}")
        moves.append(paddle_row(pixels(tab)) - before)
        tab.keyboard.up(key)
        assert tab.locator(".cap.held").count() == 0
    assert sign * np.nanmedian(moves) > 1, moves


def test_a_saved_state_comes_back_to_the_pixel(serve, tabs, pong):
    tab = tabs(serve(pong))
    until(tab, "window.worldsim?.frames > 8")
    held(tab)
    saved, number = pixels(tab), tab.evaluate("worldsim.lastFrame.number")
    tab.keyboard.press("s")
    until(tab, "worldsim.status.saves === 1")
    tab.keyboard.press("p")
    until(tab, f"worldsim.lastFrame.number > {number + 6}")
    held(tab)
    assert (pixels(tab) != saved).any()
    tab.keyboard.press("l")
    until(tab, "worldsim.lastFrame.flags & 64")
    assert (pixels(tab) == saved).all()


def test_what_was_recorded_can_be_read_back(serve, tabs, pong):
    running = serve(pong)
    tab = tabs(running)
    until(tab, "window.worldsim?.frames > 3")
    tab.keyboard.press("r")
    until(tab, "worldsim.status.recording?.frames > 5")
    tab.keyboard.press("r")
    with tab.expect_download() as download:
        tab.click("#toasts a")
    assert download.value.path().read_bytes()[4:8] == b"ftyp"
    footage = Footage.open(running.manager.archive.folder / "pong-dream")
    assert footage.meta.recorder["source"] == "dream" and len(footage[0].obs) > 5


def test_two_players_do_not_see_each_others_world(serve, tabs, pong):
    running = serve(pong)
    one, two = tabs(running), tabs(running)
    for tab in (one, two):
        until(tab, "window.worldsim?.frames > 3 && worldsim.status?.players === 2")
        held(tab)
    before = pixels(two)
    number = one.evaluate("worldsim.lastFrame.number")
    for _ in range(3):
        one.keyboard.press(".")
    until(one, f"worldsim.lastFrame.number >= {number + 3}")
    assert (pixels(two) == before).all()
    assert (pixels(one) != before).any()


def test_the_page_plays_behind_a_proxy_with_the_key_of_its_link(serve, tabs, pong, behind_proxy):
    proxy = behind_proxy()
    access = Access(origins=(f"http://{proxy.address}",), key="pass-word")
    proxy.upstream = serve(pong, access=access).address
    tab = tabs(proxy, path=f"{proxy.path}/?key=pass-word")
    until(tab, "window.worldsim?.frames > 5")


def test_a_page_that_waits_enters_by_itself_though_keys_are_pressed(serve, tabs, pong):
    running = serve(pong, max_players=1)
    first = tabs(running)
    until(first, "window.worldsim?.frames > 3")
    second = tabs(running)
    until(second, "document.querySelector('#overlay-text').textContent.includes('number 1')")
    second.keyboard.press("ArrowUp")
    second.fill("#prompt", "pong")
    second.keyboard.press("Enter")
    first.goto("about:blank")
    until(second, "window.worldsim?.frames > 3")


def test_a_stop_of_the_server_is_said_on_the_page(serve, tabs, pong):
    running = serve(pong)
    tab = tabs(running)
    until(tab, "window.worldsim?.frames > 3")
    running.stop()
    until(tab, "!document.querySelector('#overlay').hidden")
    assert "server has stopped" in tab.inner_text("#overlay")


def test_a_phone_has_pads_that_play(serve, tabs, pong):
    tab = tabs(serve(pong), viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    until(tab, "window.worldsim?.frames > 3")
    pad = tab.locator("#pads [data-key=ArrowUp]")
    assert pad.is_visible()
    answered = tab.evaluate("worldsim.lastFrame.answered")
    pad.tap()
    until(tab, f"worldsim.lastFrame.answered > {answered}")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_every_command_can_be_reached_without_a_mouse(serve, tabs, pong):
    tab = tabs(serve(pong))
    until(tab, "window.worldsim?.frames > 3 && worldsim.status?.rewindable_s > 1")
    reached = set()
    for _ in range(40):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("document.activeElement.dataset.do || document.activeElement.id"))
    assert {"pause", "step", "rewind", "save", "record", "policy", "prompt", "start", "nothing", "picture"} <= reached


def test_a_text_that_names_no_world_is_answered_and_typing_plays_no_keys(serve, tabs, pong, somewhere_empty):
    tab = tabs(serve(pong))
    until(tab, "window.worldsim?.frames > 3 && worldsim.status")
    tab.keyboard.press("/")
    tab.keyboard.type("a lamp shop")
    assert not tab.evaluate("worldsim.status.paused")
    tab.keyboard.press("Enter")
    until(tab, "document.querySelector('.toast.error')?.textContent.includes('pong')")


def test_a_picture_is_where_the_dream_begins(serve, tabs, pong, tmp_path):
    from PIL import Image

    Image.new("RGB", (100, 50), (20, 90, 160)).save(tmp_path / "blue.png")
    tab = tabs(serve(pong))
    until(tab, "window.worldsim?.frames > 3")
    held(tab)
    tab.set_input_files("#picture", tmp_path / "blue.png")
    until(tab, "worldsim.lastFrame.flags & 4")
    assert (pixels(tab) == (20, 90, 160)).all()
    until(tab, "document.querySelector('#toasts')?.textContent.includes('unlike the footage')")


def test_a_world_with_a_mouse_takes_the_pointer_and_buttons(serve, tabs, tmp_path):
    from tests.worlds import random_world
    from worldsim.controls import ActionSpec, Axis, Button
    from worldsim.play.stepper import Stepper

    spec = ActionSpec(
        buttons=(Button(name="forward", keys=("KeyW",)), Button(name="save", keys=("KeyS",))),
        axes=(Axis(name="yaw", unit="degrees", low=-45.0, high=45.0, keys=("mouse_x",)),),
    )
    world = random_world(spec=spec)
    tab = tabs(serve((tmp_path, Stepper(dataclasses.replace(world), 1)), max_players=1))
    until(tab, "window.worldsim?.frames > 3")
    assert tab.evaluate("worldsim.hello.has_mouse")
    assert tab.evaluate("worldsim.hello.shortcuts.save") == {"code": "KeyS", "alt": True}
    tab.click("#dream")
    until(tab, "document.pointerLockElement?.id === 'dream'")
    answered = tab.evaluate("worldsim.lastFrame.answered")
    tab.mouse.move(700, 300)
    until(tab, f"worldsim.lastFrame.answered > {answered}")


def test_a_gamepad_holds_the_keys_of_the_world(serve, tabs, pong):
    tab = tabs(serve(pong))
    until(tab, "window.worldsim?.frames > 3")
    pad = "{axes: [0, -1, 0, 0], buttons: Array.from({length: 16}, () => ({pressed: false}))}"
    tab.evaluate(f"() => {{ window.pad = {pad}; navigator.getGamepads = () => [window.pad]; }}")
    tab.evaluate("dispatchEvent(new Event('gamepadconnected'))")
    until(tab, "document.querySelector('.cap.held')?.dataset.key === 'ArrowUp'")
    tab.evaluate("() => { pad.axes[1] = 0; pad.buttons[13].pressed = true; }")
    until(tab, "document.querySelector('.cap.held')?.dataset.key === 'ArrowDown'")
    tab.evaluate("() => { navigator.getGamepads = () => []; }")
    until(tab, "document.querySelector('.cap.held') === null")


def test_the_real_game_stands_beside_the_dream_and_goes_again(serve, tabs, pong):
    pytest.importorskip("ale_py")
    tab = tabs(serve(pong))
    until(tab, "window.worldsim?.frames > 3 && worldsim.status")
    tab.keyboard.press("g")
    until(tab, "worldsim.status.real")
    until(tab, "!document.querySelector('#game-view').hidden")
    dream, game = (tab.locator(f"#{name}").bounding_box() for name in ("dream", "game"))
    assert dream["width"] == game["width"] and game["x"] > dream["x"] + dream["width"]
    tab.keyboard.press("y")
    until(tab, "worldsim.lastFrame.flags & 4")
    tab.keyboard.press("g")
    until(tab, "!worldsim.status.real && document.querySelector('#game-view').hidden")


def test_keys_are_let_go_when_the_page_loses_the_focus(serve, tabs, pong):
    tab = tabs(serve(pong))
    until(tab, "window.worldsim?.frames > 3")
    tab.keyboard.down("ArrowUp")
    until(tab, "document.querySelector('.cap.held') !== null")
    tab.evaluate("dispatchEvent(new Event('blur'))")
    until(tab, "document.querySelector('.cap.held') === null")
