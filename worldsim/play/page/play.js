// Wires connection, input, display and panel together, and defines what each command does.

import { Connection, FLAGS } from "./connection.js";
import { Display } from "./display.js";
import { gameKeys, glyph, InputState } from "./keys.js";
import { fillHelp, Panel, toast } from "./panel.js";

const byId = (id) => document.getElementById(id);
const MAX_SIDE = 512; // pixels of a picture that is sent; worlds are smaller
const LATENCIES = 200;
const REPEATING = new Set(["step", "rewind", "cooler", "warmer"]);
const LABELS = {
  pause: "pause and go on", step: "one frame", rewind: "ten seconds back", save: "save this state", load: "go back to it",
  start: "begin from recorded frames", nothing: "begin from nothing", prompt: "name a world", policy: "let it play by itself",
  real: "the real game beside it", sync: "dream on from the real game", record: "record", steps: "more or fewer denoising steps",
  cooler: "temperature down", warmer: "temperature up", panel: "numbers", help: "this help", fullscreen: "full screen",
};

let hello = null;
let status = null;
let inputs = 0;
let numStatus = 0;
let repeatedAt = -1;
let pending = new Map(); // inputs on their way: n -> when they were sent
const stats = { frames: 0, latency: [], last: null };

const panel = new Panel();
const display = new Display(byId("stage"), byId("dream"), byId("game"), drawn);
const held = new InputState((input) => {
  if (!hello || !connection.send({ type: "input", n: ++inputs, ...input })) return;
  if (!status?.paused && !document.hidden) pending.set(inputs, performance.now()); // what no frame answers soon is no latency
});
const connection = new Connection({ text: received, frame: (frame) => hello && display.show(frame), closed });

// --- what comes in

function received(message) {
  const act = { hello: enter, status: update, queue: wait, note, recorded }[message.type];
  act?.(message);
}

function enter(message) {
  [hello, status] = [message, null];
  document.title = byId("title").textContent = hello.world.title;
  display.enter(hello.world.size, hello.fps);
  panel.enter(hello, (settings) => tell("settings", settings));
  held.enter(hello, { caps: byId("caps"), pads: byId("pads"), canvas: byId("dream") });
  pending = new Map();
  byId("worlds").replaceChildren(...hello.worlds.map((name) => new Option(name)));
  labelCommands();
  document.body.classList.add("waking"); // no empty picture until the first frame
  overlay("waking the dream …", { pulse: true });
  byId("dream").focus({ preventScroll: true });
}

function drawn(frame) {
  if (!byId("overlay").hidden) overlay(null);
  document.body.classList.remove("waking");
  const now = performance.now();
  for (const [n, sent] of pending) {
    if (n > frame.answered) break;
    pending.delete(n);
    stats.latency = [...stats.latency.slice(-LATENCIES + 1), now - sent];
  }
  stats.frames += 1;
  const { number, answered, flags, reward, total, uncertainty, modelMs } = frame;
  stats.last = { number, answered, flags, reward, total, uncertainty, modelMs };
  if (flags & FLAGS.terminated) byId("over").hidden = false; // the world goes on, whoever likes to plays on
  if (flags & (FLAGS.begun | FLAGS.jumped)) byId("over").hidden = true;
  panel.drawn(frame, stats.latency);
}

function update(message) {
  status = message;
  numStatus += 1;
  if (status.paused) pending.clear();
  panel.status(status);
  press("pause", status.paused);
  press("policy", status.policy !== null);
  press("record", status.recording !== null);
  press("real", status.real);
  button("load").disabled = !status.saves;
  button("rewind").disabled = status.rewindable_s < 0.2;
  button("sync").hidden = !status.real;
  display.showPair(status.real);
  byId("recording").hidden = !status.recording;
  if (status.recording) byId("recording").textContent = recordingText(status.recording.frames);
}

function recordingText(frames) {
  const seconds = Math.floor(frames / hello.world.fps);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}, ${frames} frames`;
}

function wait({ place, max_players }) {
  hello = status = null; // who waits may only ping
  overlay(`All ${max_players ?? ""} places are taken; you are number ${place}. The game begins by itself.`, { pulse: true });
}

function note({ text, level }) {
  toast(text, { level });
}

function recorded({ frames, seconds, video, source }) {
  const what = source === "game" ? "real game" : "dream";
  toast(`Recorded ${seconds.toFixed(1)} s of the ${what}, ${frames} frames.`, { link: { href: video, text: "mp4" } });
}

function closed({ reason, retries }) {
  hello = status = null;
  held.releaseAll();
  display.leave();
  overlay(retries ? `${reason} Trying again …` : reason, { pulse: retries, reconnect: true });
}

function overlay(text, { pulse = false, reconnect = false } = {}) {
  byId("overlay").hidden = text === null;
  byId("overlay-text").textContent = text || "";
  document.querySelector(".pulse").hidden = !pulse;
  byId("reconnect").hidden = !reconnect;
  if (reconnect && document.activeElement !== byId("reconnect")) byId("reconnect").focus();
}

// --- commands

const tell = (what, args = {}) => hello && connection.send({ type: "do", what, ...args });
const begin = (prompt) => tell("start", { prompt });
const scaled = (change) => tell("settings", { noise_scale: Math.max(0, Math.min(2, Math.round(10 * (status.noise_scale + change)) / 10)) });
const commands = {
  pause: () => tell("pause", { on: !status.paused }),
  step: () => tell("step"),
  rewind: () => tell("rewind", { seconds: 10 }),
  save: () => tell("save") && toast("This state is saved."),
  load: () => tell("load"),
  start: () => begin("random"),
  again: () => begin("random"),
  nothing: () => begin("nothing"),
  prompt: () => byId("prompt").focus(),
  picture: () => byId("picture").click(),
  policy: () => tell("policy", { name: [...hello.policies, null][hello.policies.indexOf(status.policy) + 1] }), // each in turn, then the person
  real: () => hello.has_real && tell("real", { on: !status.real }),
  sync: () => status.real && tell("sync"),
  record: () => tell("record", { on: !status.recording }),
  steps: () => tell("settings", { num_denoise_steps: hello.steps[(hello.steps.indexOf(status.num_denoise_steps) + 1) % hello.steps.length] }),
  cooler: () => scaled(-0.1),
  warmer: () => scaled(0.1),
  panel: () => {
    const hidden = document.body.classList.toggle("no-panel");
    button("panel").setAttribute("aria-expanded", !hidden);
    display.fit();
  },
  help: () => (byId("help").open ? byId("help").close() : byId("help").showModal()),
  fullscreen: () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen?.()),
};

const ALWAYS = new Set(["panel", "help", "fullscreen", "prompt", "picture"]);

function run(name) {
  if (ALWAYS.has(name) || (hello && status && connection.isOpen)) commands[name]();
}

function button(name) {
  return document.querySelector(`[data-do="${name}"]`);
}

function press(name, on) {
  button(name).setAttribute("aria-pressed", on);
}

function keyText(name) {
  const { code, alt } = hello.shortcuts[name];
  return (alt ? "Alt " : "") + glyph(code);
}

function labelCommands() {
  button("real").hidden = !hello.has_real;
  button("fullscreen").hidden = !document.fullscreenEnabled;
  for (const name of Object.keys(hello.shortcuts)) labelCommand(button(name), keyText(name));
  labelCommand(button("again"), keyText("start"));
  const game = gameKeys(hello.controls).filter((x) => !x.code.startsWith("mouse_"));
  const rest = Object.entries(hello.shortcuts).filter(([name]) => hello.has_real || !["real", "sync"].includes(name));
  fillHelp([...game, ...rest.map(([name, key]) => ({ ...key, label: LABELS[name] }))]);
}

function labelCommand(target, text) {
  target.title = LABELS[target.dataset.do] || "";
  target.setAttribute("aria-keyshortcuts", text.replace(" ", "+"));
  const holder = target.matches("input") ? document.querySelector(`label[for=${target.id}]`) : target;
  const cap = holder.querySelector("kbd") || holder.appendChild(document.createElement("kbd"));
  cap.textContent = text;
}

// --- what a person does

const isSmall = () => matchMedia("(max-width: 860px), (max-height: 500px)").matches;
if (isSmall()) commands.panel(); // it would hide the game
const isTouched = () => matchMedia("(pointer: coarse)").matches || (navigator.maxTouchPoints > 0 && innerWidth <= 860);
document.body.classList.toggle("touch", isTouched());
addEventListener("touchstart", () => document.body.classList.add("touch"), { once: true, passive: true });

const isTyping = () => document.activeElement?.matches("input[type=text]") ?? false;
const isPressing = ({ code }) => (code === "Space" || code === "Enter") && document.activeElement?.matches("button, a, input");
const isSliding = ({ code }) => code.startsWith("Arrow") && document.activeElement?.matches("input[type=range]");

/** Keys that belong to something else than the game and its commands. */
function isElsewhere(event) {
  const isBrowsers = event.metaKey || (event.ctrlKey && !held.game.has("ControlLeft"));
  return isTyping() || isPressing(event) || isSliding(event) || isBrowsers;
}

/** The command of a key, if it has one. */
function commandOf({ code, altKey }) {
  return Object.keys(hello.shortcuts).find((name) => hello.shortcuts[name].code === code && hello.shortcuts[name].alt === altKey);
}

/** A key that is held repeats a command once what it did has been seen, so that no queue grows behind a slow model. */
function runHeld(command, repeat) {
  if (repeat && (!REPEATING.has(command) || stats.frames + numStatus === repeatedAt)) return;
  repeatedAt = stats.frames + numStatus;
  run(command);
}

addEventListener("keydown", (event) => {
  if (event.code === "Escape" && !byId("help").open) byId("dream").focus();
  if (event.metaKey) held.releaseAll(); // macOS tells of no key that is let go beside Command
  if (!hello || isElsewhere(event)) return;
  const command = commandOf(event);
  if (byId("help").open && command !== "help") return;
  if (held.game.has(event.code) && !event.altKey) {
    event.preventDefault();
    if (!event.repeat) held.press(event.code);
  } else if (command) {
    event.preventDefault();
    runHeld(command, event.repeat);
  }
});
addEventListener("keyup", (event) => held.release(event.code));

document.addEventListener("click", ({ target, detail }) => {
  const pressed = target.closest("[data-do]");
  if (pressed && !pressed.matches("input")) run(pressed.dataset.do);
  if (detail > 0 && target.closest("button") && !byId("help").open && !isTyping()) byId("dream").focus({ preventScroll: true }); // so that Space plays on
});
byId("begin").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("prompt").value.trim();
  if (text) begin(text);
  byId("dream").focus();
});
byId("scale").addEventListener("input", ({ target }) => (byId("scale-value").textContent = Number(target.value).toFixed(1)));
byId("scale").addEventListener("change", ({ target }) => tell("settings", { noise_scale: Number(target.value) }));
byId("jpeg").addEventListener("change", ({ target }) => tell("settings", { format: target.checked ? "jpeg" : "webp" }));
byId("reconnect").addEventListener("click", () => {
  overlay("waking the dream …", { pulse: true });
  connection.connect();
});

async function sendPicture(file) {
  const bitmap = file && (await createImageBitmap(file).catch(() => toast("This picture cannot be read.", { level: "error" })));
  if (!bitmap) return;
  const scale = Math.min(1, MAX_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(Math.ceil(bitmap.width * scale), Math.ceil(bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const png = await canvas.convertToBlob();
  if (hello) connection.send(await png.arrayBuffer());
}
byId("picture").addEventListener("change", ({ target }) => {
  sendPicture(target.files[0]);
  target.value = "";
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  byId("stage").classList.add("drop");
});
addEventListener("dragleave", () => byId("stage").classList.remove("drop"));
addEventListener("drop", (event) => {
  event.preventDefault();
  byId("stage").classList.remove("drop");
  sendPicture(event.dataTransfer.files[0]);
});

// For tests, and for people at the console.
window.worldsim = Object.freeze({
  get frames() { return stats.frames; },
  get latency() { return stats.latency; },
  get lastFrame() { return stats.last; },
  get status() { return status; },
  get hello() { return hello; },
  pixels: () => display.pixels(),
  resetStats: () => Object.assign(stats, { frames: 0, latency: [] }),
});
