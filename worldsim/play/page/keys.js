// What a person holds: keyboard, mouse, touch pads and gamepad become one list of keys, oldest first.

const GLYPHS = {
  ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", Space: "Space", Backspace: "⌫", Period: ".", Minus: "−",
  Equal: "+", Slash: "/", Mouse0: "click", Mouse1: "middle", Mouse2: "right click", ShiftLeft: "Shift", ControlLeft: "Ctrl",
  mouse_x: "mouse", mouse_y: "mouse",
};
const ARROWS = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"];
const LETTERS = ["KeyW", "KeyS", "KeyA", "KeyD"];
const SIDES = ["up", "down", "left", "right"];
const MOTION_MS = 8;
const DEADZONE = 0.35;

export const glyph = (code) => GLYPHS[code] || code.replace(/^(Key|Digit)/, "");

/** Every key of the game with what it does: [{ code, label }]. */
export function gameKeys(controls) {
  const found = new Map();
  const add = (code, label) => code && !found.has(code) && found.set(code, label);
  for (const control of controls) {
    for (const { label, keys } of control.options || []) if (keys.length === 1) add(keys[0], label);
    for (const { label, keys } of control.options || []) keys.forEach((code) => add(code, label));
    if (control.kind === "button") control.keys.forEach((code) => add(code, control.name));
    if (control.kind === "axis") control.keys.forEach((code, i) => add(code, control.keys.length > 1 ? `${control.name} ${"−+"[i]}` : control.name));
  }
  return [...found].map(([code, label]) => ({ code, label }));
}

export class Hands {
  /** send({ keys, motion, sticks }) is called at every change. */
  constructor(send) {
    this.send = send;
    this.sources = { keyboard: [], touch: [], pad: [] };
    this.held = [];
    this.motion = [0, 0];
    this.motionAt = 0;
    this.sticks = {};
    this.game = new Set();
    addEventListener("blur", () => this.releaseAll());
    document.addEventListener("visibilitychange", () => document.hidden && this.releaseAll());
    addEventListener("gamepadconnected", () => this.pollPads());
  }

  enter(hello, { caps, pads, canvas }) {
    const keys = gameKeys(hello.controls);
    this.game = new Set(keys.map((x) => x.code));
    this.axes = hello.controls.filter((x) => x.kind === "axis");
    this.hasMouse = hello.has_mouse;
    this.directions = ARROWS.some((code) => this.game.has(code)) ? ARROWS : LETTERS;
    this.others = keys.map((x) => x.code).filter((code) => !this.directions.includes(code) && !code.startsWith("mouse_"));
    caps.replaceChildren(...keys.map(makeCap));
    this.makePads(pads, keys);
    if (this.canvas !== canvas) this.watchMouse(canvas);
    this.canvas = canvas;
    this.releaseAll();
  }

  press(code, source = "keyboard") {
    if (!this.sources[source].includes(code)) this.set(source, [...this.sources[source], code]);
  }

  release(code, source = "keyboard") {
    this.set(source, this.sources[source].filter((x) => x !== code));
  }

  releaseAll() {
    this.sources = { keyboard: [], touch: [], pad: [] };
    this.sticks = {};
    this.update();
  }

  set(source, codes) {
    this.sources[source] = codes;
    this.update();
  }

  update(force = false) {
    const all = new Set(Object.values(this.sources).flat());
    const held = [...this.held.filter((code) => all.has(code)), ...[...all].filter((code) => !this.held.includes(code))];
    if (!force && held.join() === this.held.join()) return;
    this.held = held;
    for (const cap of document.querySelectorAll("[data-key]")) cap.classList.toggle("held", all.has(cap.dataset.key));
    this.flush();
  }

  flush() {
    const [dx, dy] = this.motion;
    this.motion = [0, 0];
    this.send({ keys: this.held.slice(0, 16), motion: [dx, dy], sticks: this.sticks });
  }

  // --- mouse: looking around while the pointer is locked

  watchMouse(canvas) {
    canvas.addEventListener("click", () => this.hasMouse && document.pointerLockElement !== canvas && canvas.requestPointerLock());
    canvas.addEventListener("contextmenu", (event) => this.hasMouse && event.preventDefault());
    for (const [kind, act] of [["mousedown", "press"], ["mouseup", "release"]]) {
      addEventListener(kind, ({ button }) => {
        const code = `Mouse${button}`;
        if (document.pointerLockElement === canvas && this.game.has(code)) this[act](code);
      });
    }
    addEventListener("mousemove", (event) => {
      if (document.pointerLockElement !== canvas) return;
      this.motion = [this.motion[0] + event.movementX, this.motion[1] + event.movementY];
      this.flushSoon();
    });
  }

  flushSoon() {
    if (this.motionTimer) return;
    this.motionTimer = setTimeout(() => {
      this.motionTimer = 0;
      this.flush();
    }, MOTION_MS);
  }

  // --- touch: a cross for the directions, a round pad for every other key

  makePads(pads, keys) {
    const cross = element("div", "dpad");
    const rounds = element("div", "rounds");
    for (const { code, label } of keys) {
      if (code.startsWith("mouse_")) continue;
      const side = this.directions.indexOf(code);
      const pad = element("div", side < 0 ? "pad" : `pad ${SIDES[side]}`, side < 0 ? label : glyph(ARROWS[side]));
      pad.dataset.key = code;
      (side < 0 ? rounds : cross).append(pad);
    }
    pads.replaceChildren(cross, rounds);
    const read = (event) => {
      event.preventDefault();
      const under = [...event.touches].map((t) => document.elementFromPoint(t.clientX, t.clientY)?.closest("#pads [data-key]"));
      this.set("touch", [...new Set(under.filter(Boolean).map((pad) => pad.dataset.key))]);
    };
    for (const kind of ["touchstart", "touchmove", "touchend", "touchcancel"]) pads[`on${kind}`] = read;
  }

  // --- gamepad

  pollPads() {
    const pads = navigator.getGamepads().filter(Boolean);
    if (!pads.length) return this.set("pad", []);
    const codes = new Set();
    for (const pad of pads) this.readPad(pad, codes);
    const sticks = JSON.stringify(this.sticks);
    this.set("pad", [...codes]);
    if (sticks !== this.lastSticks) this.flush();
    this.lastSticks = sticks;
    requestAnimationFrame(() => this.pollPads());
  }

  readPad(pad, codes) {
    const [up, down, left, right] = this.directions;
    const [x = 0, y = 0, lookX = 0, lookY = 0] = pad.axes;
    const isDown = (i) => pad.buttons[i]?.pressed;
    if (y < -DEADZONE || isDown(12)) codes.add(up);
    if (y > DEADZONE || isDown(13)) codes.add(down);
    if (x < -DEADZONE || isDown(14)) codes.add(left);
    if (x > DEADZONE || isDown(15)) codes.add(right);
    this.others.forEach((code, i) => i < 12 && isDown(i) && codes.add(code));
    if (this.hasMouse && Math.hypot(lookX, lookY) > DEADZONE) {
      this.motion = [this.motion[0] + 12 * lookX, this.motion[1] + 12 * lookY];
      this.flushSoon();
    }
    const analog = this.axes.filter((axis) => !axis.keys.some((key) => key.startsWith("mouse_")));
    this.sticks = Object.fromEntries(analog.map(({ name }, i) => [name, round(pad.axes[i])]).filter(([, value]) => value));
  }
}

const round = (value = 0) => (Math.abs(value) < 0.08 ? 0 : Math.max(-1, Math.min(1, Math.round(value * 100) / 100)));

export function element(tag, name = "", text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  return made;
}

function makeCap({ code, label }) {
  const item = element("li");
  const cap = element("kbd", "cap", glyph(code));
  cap.dataset.key = code;
  item.append(cap, document.createTextNode(label));
  return item;
}
