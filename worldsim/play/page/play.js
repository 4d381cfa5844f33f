// Wires the line, the hands, the view and the panel together, and says what each command does.

import { gameKeys, glyph, Hands } from "./keys.js";
import { FLAGS, Line } from "./line.js";
import { fillHelp, Panel, toast } from "./panel.js";
import { View } from "./view.js";

const byId = (id) => document.getElementById(id);
const MAX_PICTURE = 4 << 20;
const LATENCIES = 200;
const REPEATING = new Set(["step", "rewind", "cooler", "warmer"]);
const LABELS = {
  pause: "hold and go on", step: "one frame", rewind: "ten seconds back", save: "save this moment", load: "go back to it",
  start: "begin at a recorded moment", nothing: "begin from nothing", prompt: "say a world", pilot: "let random keys play",
  real: "the real game beside", sync: "dream on from the real game", record: "record", steps: "denoising steps 1, 2, 4",
  cooler: "temperature down", warmer: "temperature up", panel: "numbers", help: "this help", fullscreen: "full screen",
};

let hello = null;
let status = null;
let inputs = 0;
let pending = new Map(); // inputs on their way: n -> when they were sent
const stats = { frames: 0, latency: [], last: null };

const panel = new Panel();
const view = new View(byId("stage"), byId("dream"), byId("game"), drawn);
const hands = new Hands((input) => {
  if (!line.say({ type: "input", n: ++inputs, ...input })) return;
  if (!status?.paused) pending.set(inputs, performance.now());
});
const line = new Line({ text: heard, frame: (frame) => hello && view.show(frame), open: opened, closed });

// --- what comes in

function heard(message) {
  const act = { hello: enter, status: update, queue: wait, note, recorded }[message.type];
  act?.(message);
}

function enter(message) {
  hello = message;
  document.title = byId("title").textContent = hello.world.title;
  view.enter(hello.world.size, hello.fps);
  panel.enter(hello, (settings) => tell("settings", settings));
  hands.enter(hello, { caps: byId("caps"), pads: byId("pads"), canvas: byId("dream") });
  pending = new Map();
  labelCommands();
  overlay("waking the dream …", { pulse: true });
  byId("dream").focus({ preventScroll: true });
}

function drawn(frame) {
  if (!byId("overlay").hidden) overlay(null);
  const now = performance.now();
  for (const [n, sent] of pending) {
    if (n > frame.answered) break;
    pending.delete(n);
    stats.latency = [...stats.latency.slice(-LATENCIES + 1), now - sent];
  }
  stats.frames += 1;
  const { number, answered, flags, reward, total, uncertainty, modelMs } = frame;
  stats.last = { number, answered, flags, reward, total, uncertainty, modelMs };
  if (flags & FLAGS.terminated) gameOver();
  if (flags & (FLAGS.begun | FLAGS.jumped)) byId("over").hidden = true;
  panel.drawn(frame, stats.latency);
}

function update(message) {
  status = message;
  if (status.paused) pending.clear();
  panel.status(status);
  press("pause", status.paused);
  press("pilot", status.pilot !== null);
  press("record", status.recording !== null);
  press("real", status.real);
  button("load").disabled = !status.saves;
  button("rewind").disabled = status.rewindable_s < 0.2;
  button("sync").hidden = !status.real;
  view.showPair(status.real);
  byId("recording").hidden = !status.recording;
  if (status.recording) byId("recording").textContent = `recording, ${(status.recording.frames / hello.world.fps).toFixed(0)} s`;
}

function wait({ place, max_players }) {
  overlay(`All ${max_players} places are taken. You are number ${place} in the queue; the game begins by itself.`, { pulse: true });
}

function note({ text, level }) {
  toast(text, { level });
}

function recorded({ frames, seconds, video, source }) {
  const what = source === "game" ? "real game" : "dream";
  toast(`Recorded ${seconds.toFixed(1)} s of the ${what}, ${frames} frames.`, { link: { href: video, text: "mp4" } });
}

function opened() {
  byId("reconnect").hidden = true;
}

function closed({ reason, retries }) {
  hands.releaseAll();
  overlay(retries ? `${reason} Trying again …` : reason, { pulse: retries, reconnect: !retries });
}

function gameOver() {
  byId("over").textContent = `The dream says: game over. ${keyText("start")} begins again.`;
  byId("over").hidden = false;
}

function overlay(text, { pulse = false, reconnect = false } = {}) {
  byId("overlay").hidden = text === null;
  byId("overlay-text").textContent = text || "";
  document.querySelector(".pulse").hidden = !pulse;
  byId("reconnect").hidden = !reconnect;
  if (reconnect) byId("reconnect").focus();
}

// --- commands

const tell = (what, args = {}) => line.say({ type: "do", what, ...args });
const scaled = (change) => tell("settings", { noise_scale: Math.max(0, Math.min(2, Math.round(10 * (status.noise_scale + change)) / 10)) });
const commands = {
  pause: () => tell("pause", { on: !status.paused }),
  step: () => tell("step"),
  rewind: () => tell("rewind", { seconds: 10 }),
  save: () => tell("save") && toast("This moment is saved."),
  load: () => tell("load"),
  start: () => tell("start", { prompt: "random" }),
  nothing: () => tell("start", { prompt: "nothing" }),
  prompt: () => byId("prompt").focus(),
  picture: () => byId("picture").click(),
  pilot: () => tell("pilot", { policy: status.pilot ? null : "random" }),
  real: () => hello.has_real && tell("real", { on: !status.real }),
  sync: () => status.real && tell("sync"),
  record: () => tell("record", { on: !status.recording }),
  steps: () => tell("settings", { num_denoise_steps: hello.steps[(hello.steps.indexOf(status.num_denoise_steps) + 1) % hello.steps.length] }),
  cooler: () => scaled(-0.1),
  warmer: () => scaled(0.1),
  panel: () => {
    const hidden = document.body.classList.toggle("no-panel");
    button("panel").setAttribute("aria-expanded", !hidden);
    view.fit();
  },
  help: () => (byId("help").open ? byId("help").close() : byId("help").showModal()),
  fullscreen: () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()),
};

const ALWAYS = new Set(["panel", "help", "fullscreen", "prompt", "picture"]);

function run(name) {
  if (ALWAYS.has(name) || (hello && status && line.isOpen)) commands[name]();
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
  for (const [name] of Object.entries(hello.shortcuts)) {
    const cap = button(name) && (button(name).querySelector("kbd") || button(name).appendChild(document.createElement("kbd")));
    if (cap) cap.textContent = keyText(name);
  }
  const game = gameKeys(hello.controls).filter((x) => !x.code.startsWith("mouse_"));
  const rest = Object.entries(hello.shortcuts).filter(([name]) => hello.has_real || !["real", "sync"].includes(name));
  fillHelp([...game, ...rest.map(([name, key]) => ({ ...key, label: LABELS[name] }))]);
}

// --- what a person does

const isTouched = () => matchMedia("(pointer: coarse)").matches || (navigator.maxTouchPoints > 0 && innerWidth <= 860);
document.body.classList.toggle("touch", isTouched());
addEventListener("touchstart", () => document.body.classList.add("touch"), { once: true, passive: true });

const isTyping = () => document.activeElement?.matches("input[type=text]") ?? false;
const isPressing = (event) => (event.code === "Space" || event.code === "Enter") && document.activeElement?.matches("button, a, input");

addEventListener("keydown", (event) => {
  if (event.code === "Escape" && isTyping()) return byId("dream").focus();
  if (!hello || isTyping() || isPressing(event) || event.ctrlKey && !hands.game.has("ControlLeft") || event.metaKey) return;
  const command = Object.keys(hello.shortcuts).find((name) => hello.shortcuts[name].code === event.code && hello.shortcuts[name].alt === event.altKey);
  if (hands.game.has(event.code) && !event.altKey) {
    if (byId("help").open) return;
    event.preventDefault();
    if (!event.repeat) hands.press(event.code);
  } else if (command) {
    event.preventDefault();
    if (!event.repeat || REPEATING.has(command)) run(command);
  }
});
addEventListener("keyup", (event) => hands.release(event.code));

document.addEventListener("click", ({ target, detail }) => {
  const pressed = target.closest("[data-do]");
  if (pressed) run(pressed.dataset.do);
  if (detail > 0 && target.closest("button") && !byId("help").open && !isTyping()) byId("dream").focus({ preventScroll: true }); // so that Space plays on
});
byId("begin").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("prompt").value.trim();
  if (text) tell("start", { prompt: text });
  byId("dream").focus();
});
byId("scale").addEventListener("input", ({ target }) => tell("settings", { noise_scale: Number(target.value) }));
byId("jpeg").addEventListener("change", ({ target }) => tell("settings", { format: target.checked ? "jpeg" : "webp" }));
byId("reconnect").addEventListener("click", () => {
  overlay("waking the dream …", { pulse: true });
  line.connect();
});

async function sendPicture(file) {
  if (!file) return;
  if (file.size > MAX_PICTURE) return toast("A picture may have at most 4 MiB.", { level: "error" });
  line.say(await file.arrayBuffer());
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
window.worldsim = {
  get frames() { return stats.frames; },
  get latency() { return stats.latency; },
  get lastFrame() { return stats.last; },
  get status() { return status; },
  get hello() { return hello; },
  pixels: () => view.pixels(),
  resetStats: () => Object.assign(stats, { frames: 0, latency: [] }),
};
