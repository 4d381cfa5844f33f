// Live numbers, toasts, and what the world says of itself.

import { element, glyph } from "./keys.js";
import { FLAGS } from "./line.js";

const SPARK = 150;
const TOAST_MS = 6000;
const byId = (id) => document.getElementById(id);
const signed = (value) => (Math.abs(value) < 0.005 ? "0" : value.toFixed(2).replace("-", "−"));

export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.floor(share * (sorted.length - 1))] : NaN;
}

export class Panel {
  constructor() {
    this.uncertainty = [];
    this.drawnAt = [];
  }

  enter(hello, choose) {
    this.hello = hello;
    this.uncertainty = [];
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
    const now = performance.now();
    this.drawnAt = [...this.drawnAt.filter((t) => t > now - 2000), now];
    if (Math.abs(frame.reward) > 0.3) this.flash(byId("reward"));
    if (!(frame.flags & (FLAGS.begun | FLAGS.jumped))) {
      this.uncertainty = [...this.uncertainty, frame.uncertainty ?? 0].slice(-SPARK);
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
      if (!document.body.classList.contains("no-panel")) this.paint();
    }, 200);
  }

  paint() {
    const { last, latencies } = this;
    const wanted = this.hello.fps;
    byId("fps").textContent = `${this.fps.toFixed(0)} of ${wanted.toFixed(0)}`;
    byId("latency").textContent = latencies.length ? `${quantile(latencies, 0.5).toFixed(0)} / ${quantile(latencies, 0.95).toFixed(0)} ms` : "press a key";
    byId("reward").textContent = signed(last.reward);
    byId("total").textContent = signed(last.total);
    byId("real-total").textContent = signed(last.realTotal);
    byId("ended").textContent = last.flags & FLAGS.terminated ? "now" : "not seen";
    byId("uncertainty").textContent = this.frame?.uncertainty == null ? "not with one step" : this.frame.uncertainty.toFixed(3);
    byId("spark").classList.toggle("off", this.frame?.uncertainty == null);
    const top = Math.max(0.05, ...this.uncertainty);
    const points = this.uncertainty.map((value, i) => `${(100 * i) / (SPARK - 1)},${(23 - (22 * value) / top).toFixed(1)}`);
    document.querySelector("#spark polyline").setAttribute("points", points.join(" "));
  }

  get fps() {
    const span = performance.now() - this.drawnAt[0];
    return this.drawnAt.length > 1 ? ((this.drawnAt.length - 1) * 1000) / span : 0;
  }

  status(status) {
    byId("model").textContent = `${status.model_ms.toFixed(1)} ms`;
    byId("players").textContent = `${status.players} of ${this.hello.max_players}`;
    byId("scale").value = status.noise_scale;
    byId("scale-value").textContent = status.noise_scale.toFixed(1);
    byId("jpeg").checked = status.format === "jpeg";
    byId("real-row").hidden = !status.real;
    for (const button of document.querySelectorAll("[data-steps]"))
      button.setAttribute("aria-pressed", Number(button.dataset.steps) === status.num_denoise_steps);
    const pace = byId("pace");
    pace.classList.toggle("held", Boolean(status.held));
    pace.textContent = paceText(status);
  }

  flash(cell) {
    cell.classList.add("flash");
    setTimeout(() => cell.classList.remove("flash"), 500);
  }
}

function paceText({ held, fps, wanted_fps, paused, pilot }) {
  if (paused) return "held: one frame at a time";
  if (held === "model") return `the model is slower than the game: ${fps.toFixed(0)} of ${wanted_fps.toFixed(0)} frames a second, so the game waits for it`;
  if (held === "line") return `the line is slower than the game: ${fps.toFixed(0)} of ${wanted_fps.toFixed(0)} frames a second`;
  return pilot ? "random keys are playing" : "";
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
  while (byId("toasts").children.length > 4) byId("toasts").firstChild.remove();
}

export function fillHelp(rows) {
  byId("help-keys").replaceChildren(...rows.map(({ code, alt, label }) => {
    const row = element("div");
    row.append(element("kbd", "cap", (alt ? "Alt " : "") + glyph(code)), element("span", "", label));
    return row;
  }));
}
