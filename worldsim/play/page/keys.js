// The input of a person: keyboard, mouse, touch pads and gamepad become one list of keys, oldest first.

const GLYPHS = {
  ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", Space: "Space", Backspace: "⌫", Period: ".", Minus: "−",
  Equal: "+", Slash: "/", Mouse0: "click", Mouse1: "middle", Mouse2: "right click", ShiftLeft: "Shift", ControlLeft: "Ctrl",
  mouse_x: "mouse", mouse_y: "mouse",
};
const ARROWS = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"];
const LETTERS = ["KeyW", "KeyS", "KeyA", "KeyD"];
const SIDES = ["up", "down", "left", "right"];
const MOTION_MS = 8;
const MOTION_MAX = 10000; // pixels in one message; more is an accident of the pointer lock, and against the rules
const DEADZONE = 0.35;
const CROSS_DEADZONE = 0.2;
const DIAGONAL = Math.tan(Math.PI / 8);
const LOOK = 0.75; // pixels a millisecond, by a joystick that is pushed to its end

export const glyph = (code) => GLYPHS[code] || code.replace(/^(Key|Digit)/, "");

/** Words in capitals, as Atari's actions are, in small letters; single letters name buttons. */
const calm = (label) => (label.length > 1 && label === label.toUpperCase() ? label.toLowerCase() : label);

/** Every key of the game with what it does: [{ code, label }]. */
export function gameKeys(controls) {
  const found = new Map();
  const add = (code, label) => code && !found.has(code) && found.set(code, calm(label));
  for (const { bindings } of controls) {
    for (const { label, keys } of bindings) if (keys.length === 1) add(keys[0], label);
    for (const { label, keys } of bindings) keys.forEach((code) => add(code, label));
  }
  return [...found].map(([code, label]) => ({ code, label }));
}

export class InputState {
  /** send({ keys, motion, axes }) is called at every change. */
  constructor(send) {
    this.send = send;
    this.sources = { keyboard: [], touch: [], pad: [] };
    this.held = [];
    this.motion = [0, 0];
    this.analog = {};
    this.game = new Set();
    addEventListener("blur", () => this.releaseAll());
    document.addEventListener("visibilitychange", () => document.hidden && this.releaseAll());
    addEventListener("gamepadconnected", () => this.pollPads());
  }

  enter(hello, { caps, pads, canvas }) {
    const keys = gameKeys(hello.controls);
    this.game = new Set(keys.map((x) => x.code));
    this.axes = hello.controls.filter((x) => x.is_analog);
    this.hasMouse = hello.has_mouse;
    const isSteered = (codes) => [codes.slice(0, 2), codes.slice(2)].some((pair) => pair.every((code) => this.game.has(code)));
    this.directions = !isSteered(ARROWS) && isSteered(LETTERS) ? LETTERS : ARROWS;
    this.others = keys.map((x) => x.code).filter((code) => !this.directions.includes(code) && !code.startsWith("mouse_"));
    caps.replaceChildren(...keys.map(makeCap));
    if (this.hasMouse) caps.append(element("li", "", "click the picture to look around, Esc lets go"));
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
    const hadAnalog = Object.keys(this.analog).length > 0;
    this.sources = { keyboard: [], touch: [], pad: [] };
    this.analog = {};
    this.update(hadAnalog);
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
    const motion = this.motion.map((way) => Math.max(-MOTION_MAX, Math.min(MOTION_MAX, way)));
    this.motion = [0, 0];
    this.send({ keys: this.held.slice(0, 16), motion, axes: this.analog });
  }

  // --- mouse: looking around while the pointer is locked, or by a finger on the picture

  watchMouse(canvas) {
    const isLocked = () => document.pointerLockElement === canvas;
    canvas.addEventListener("click", () => this.hasMouse && !isLocked() && canvas.requestPointerLock?.()?.catch?.(() => {})); // refused right after Escape
    canvas.addEventListener("contextmenu", (event) => (this.hasMouse || this.game.has("Mouse2")) && event.preventDefault());
    addEventListener("mousedown", ({ button, target }) => {
      const isOurs = this.hasMouse ? isLocked() : target === canvas;
      if (isOurs && this.game.has(`Mouse${button}`)) this.press(`Mouse${button}`);
    });
    addEventListener("mouseup", ({ button }) => this.release(`Mouse${button}`));
    addEventListener("mousemove", ({ movementX, movementY }) => isLocked() && this.look(movementX, movementY));
    document.addEventListener("pointerlockchange", () => isLocked() || ["Mouse0", "Mouse1", "Mouse2"].forEach((code) => this.release(code)));
    this.watchFinger(canvas);
  }

  watchFinger(canvas) {
    let from = null;
    canvas.addEventListener("touchstart", ({ targetTouches: [touch] }) => (from = touch), { passive: true });
    canvas.addEventListener("touchmove", (event) => {
      if (!this.hasMouse) return;
      event.preventDefault();
      const [touch] = event.targetTouches;
      this.look(touch.clientX - from.clientX, touch.clientY - from.clientY);
      from = touch;
    });
  }

  look(dx, dy) {
    this.motion = [this.motion[0] + dx, this.motion[1] + dy];
    this.flushSoon();
  }

  /** Movement is gathered, so that a quick mouse does not flood the connection; keys never wait. */
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
    pads.replaceChildren(...[cross, rounds].filter((part) => part.children.length));
    const read = (event) => {
      event.preventDefault(); // no scrolling, no click that follows
      const codes = [...event.touches].flatMap((touch) => this.underFinger(touch, cross));
      this.set("touch", [...new Set(codes)].filter((code) => this.game.has(code)));
    };
    for (const kind of ["touchstart", "touchmove", "touchend", "touchcancel"]) pads[`on${kind}`] = read;
  }

  /** A finger slides from pad to pad; between two arms of the cross it holds both. */
  underFinger({ clientX, clientY }, cross) {
    const { left, top, width, height } = cross.getBoundingClientRect();
    const x = (2 * (clientX - left)) / width - 1;
    const y = (2 * (clientY - top)) / height - 1;
    if (Math.max(Math.abs(x), Math.abs(y)) <= 1.15) return this.toward(x, y, CROSS_DEADZONE);
    const pad = document.elementFromPoint(clientX, clientY)?.closest("#pads .rounds [data-key]");
    return pad ? [pad.dataset.key] : [];
  }

  /** The directions that a thumb or a joystick points to: one, or two of eight. */
  toward(x, y, deadzone) {
    if (Math.hypot(x, y) < deadzone) return [];
    const [up, down, left, right] = this.directions;
    const codes = [];
    if (Math.abs(y) > Math.abs(x) * DIAGONAL) codes.push(y < 0 ? up : down);
    if (Math.abs(x) > Math.abs(y) * DIAGONAL) codes.push(x < 0 ? left : right);
    return codes;
  }

  // --- gamepad

  pollPads(then = performance.now()) {
    cancelAnimationFrame(this.padTimer); // a second gamepad begins no second loop
    const pads = navigator.getGamepads().filter(Boolean);
    const isHere = document.hasFocus();
    const now = performance.now();
    const codes = new Set();
    const before = JSON.stringify(this.analog);
    this.analog = {};
    for (const pad of isHere ? pads : []) this.readPad(pad, codes, now - then);
    this.set("pad", [...codes].filter((code) => this.game.has(code)));
    if (JSON.stringify(this.analog) !== before) this.flushSoon();
    if (pads.length) this.padTimer = requestAnimationFrame(() => this.pollPads(now));
  }

  readPad(pad, codes, spanMs) {
    const [x = 0, y = 0, lookX = 0, lookY = 0] = pad.axes;
    const isDown = (i) => pad.buttons[i]?.pressed;
    for (const code of this.toward(x, y, DEADZONE)) codes.add(code);
    this.directions.forEach((code, side) => isDown(12 + side) && codes.add(code));
    this.others.forEach((code, i) => i < 12 && isDown(i) && codes.add(code));
    if (this.hasMouse && Math.hypot(lookX, lookY) > DEADZONE) this.look(lookX * spanMs * LOOK, lookY * spanMs * LOOK);
    this.axes.forEach(({ name }, i) => round(pad.axes[i]) && (this.analog[name] = round(pad.axes[i])));
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
