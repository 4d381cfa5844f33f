// Live numbers, toasts, and the facts of the world.

import { element, glyph } from "./keys.js";
import { FLAGS } from "./connection.js";

const SPARK_S = 10;
const NOTABLE = 0.3; // a learned reward is never quite 0
const SURE = 1; // uncertainty at which the bar is full: as wide as the footage
const FLASH_MS = 700;
const TOAST_MS = 6000;
const MAX_TOASTS = 4;
const byId = (id) => document.getElementById(id);
const signed = (value) => (Math.abs(value) < 0.005 ? "0" : value.toFixed(2).replace("-", "−"));

export function quantile(values, fraction) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.floor(fraction * (sorted.length - 1))] : NaN;
}

export class Panel {
  constructor() {
    this.uncertainty = [];
    this.drawnAt = [];
    this.last = this.frame = null;
    this.latencies = [];
  }

  enter(hello, choose) {
    this.hello = hello;
    this.uncertainty = [];
    this.last = this.frame = null;
    this.numSparks = Math.round(SPARK_S * hello.fps);
    byId("steps").replaceChildren(...hello.steps.map((k) => {
      const button = element("button", "", String(k));
      button.dataset.steps = k;
      button.onclick = () => choose({ num_denoise_steps: k });
      return button;
    }));
    const { world } = hello;
    const limits = element("ul");
    limits.append(...world.limits.map((text) => element("li", "", text)));
    const licence = Object.entries(world.licence).map(([what, text]) => `${what}: ${text}`).join("; ");
    byId("about").replaceChildren(element("h2", "", "What it cannot do"), limits, element("p", "", `Licences: ${licence}.`));
  }

  drawn(frame, latencies) {
    this.drawnAt.push(performance.now());
    if (Math.abs(frame.reward) > NOTABLE) this.flash(byId("reward"), signed(frame.reward));
    if (!(frame.flags & (FLAGS.begun | FLAGS.jumped))) {
      this.uncertainty = [...this.uncertainty, frame.uncertainty ?? 0].slice(-this.numSparks);
      this.frame = frame;
    }
    this.last = frame;
    this.latencies = latencies;
    this.paintSoon();
  }

  /** Numbers are for reading: five times a second is enough, and leaves the time to the game. */
  paintSoon() {
    if (this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = 0;
      if (this.last && !document.body.classList.contains("no-panel")) this.paint();
    }, 200);
  }

  paint() {
    const { last, latencies } = this;
    const [median, high] = [0.5, 0.95].map((fraction) => quantile(latencies, fraction).toFixed(0));
    byId("fps").textContent = `${this.fps.toFixed(0)} of ${this.hello.fps.toFixed(0)}`;
    byId("latency").textContent = latencies.length ? `${median} / ${high} ms` : "press a key";
    if (!byId("reward").matches(".flash")) byId("reward").textContent = signed(last.reward);
    byId("total").textContent = signed(last.total);
    byId("real-total").textContent = signed(last.realTotal);
    byId("ended").textContent = last.flags & FLAGS.terminated ? "now" : "not seen";
    this.paintUncertainty(this.frame?.uncertainty);
  }

  paintUncertainty(now) {
    byId("uncertainty").textContent = now == null ? "not measured with one step" : now.toFixed(3);
    byId("doubt").hidden = now == null;
    byId("bar").firstElementChild.style.width = `${Math.min(100, (100 * (now ?? 0)) / SURE)}%`;
    const top = Math.max(0.05, ...this.uncertainty);
    const points = this.uncertainty.map((value, i) => `${((100 * i) / (this.numSparks - 1)).toFixed(1)},${(23 - (22 * value) / top).toFixed(1)}`);
    document.querySelector("#spark polyline").setAttribute("points", points.join(" "));
  }

  /** Frames drawn in a second, of the last two. */
  get fps() {
    const now = performance.now();
    this.drawnAt = this.drawnAt.filter((t) => t > now - 2000);
    return this.drawnAt.length > 1 ? ((this.drawnAt.length - 1) * 1000) / (now - this.drawnAt[0]) : 0;
  }

  status(status) {
    byId("model").textContent = `${status.model_ms.toFixed(1)} ms`;
    byId("players").textContent = `${status.players} of ${this.hello.max_players}`;
    if (!byId("scale").matches(":active")) byId("scale").value = status.noise_scale; // not under a hand that moves it
    byId("scale-value").textContent = status.noise_scale.toFixed(1);
    byId("jpeg").checked = status.format === "jpeg";
    byId("real-row").hidden = !status.real;
    for (const button of document.querySelectorAll("[data-steps]"))
      button.setAttribute("aria-pressed", Number(button.dataset.steps) === status.num_denoise_steps);
    this.paintSoon();
    const pace = byId("pace");
    pace.classList.toggle("held", Boolean(status.held));
    pace.textContent = paceText(status);
  }

  /** What is over in one frame stays long enough to be read. */
  flash(cell, text) {
    cell.textContent = text;
    cell.classList.add("flash");
    clearTimeout(this.flashTimer);
    this.flashTimer = setTimeout(() => cell.classList.remove("flash"), FLASH_MS);
  }
}

function paceText({ held, fps, wanted_fps, paused, policy }) {
  if (paused) return "paused";
  const who = { model: "model", line: "connection" }[held];
  if (who) return `held: the ${who} is slower than the game, ${fps.toFixed(0)} of ${wanted_fps.toFixed(0)} frames a second`;
  if (!policy) return "";
  return policy === "random" ? "random keys are playing" : "the agent is playing";
}

export function toast(text, { level = "info", link = null } = {}) {
  const box = element("div", `toast ${level}`);
  box.append(element("span", "", text));
  if (link) {
    const anchor = element("a", "", link.text);
    Object.assign(anchor, { href: link.href, download: "" });
    box.append(anchor);
    const close = element("button", "", "×");
    close.setAttribute("aria-label", "close");
    close.onclick = () => box.remove();
    box.append(close);
  } else {
    setTimeout(() => box.remove(), TOAST_MS);
  }
  byId("toasts").append(box);
  const boxes = [...byId("toasts").children];
  if (boxes.length > MAX_TOASTS) (boxes.find((old) => !old.querySelector("a")) || boxes[0]).remove(); // a link is the last to go
}

export function fillHelp(rows) {
  byId("help-keys").replaceChildren(...rows.map(({ code, alt, label }) => {
    const row = element("div");
    row.append(element("kbd", "cap", (alt ? "Alt " : "") + glyph(code)), element("span", "", label));
    return row;
  }));
}
