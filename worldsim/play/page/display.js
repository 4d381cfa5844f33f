// From frames to pixels: decoded, held back just long enough to come at an even pace, drawn by whole factors.

const CLOCK_SPAN_MS = 5000;
const JITTER_SPAN_MS = 2000;
const CAPTION = 24; // pixels, as in style.css
const GAP = 16;
const RIM = 12; // around all, for the focus ring

/** When a frame is to be drawn. The server's clock meets ours at the quickest frame of late; what comes later than that
 *  is jitter, and all frames wait for as long as nine in ten of them are late, at most one tick. */
class Playout {
  constructor(tickMs) {
    this.tickMs = tickMs;
    this.seen = [];
  }

  due({ clock, arrived }) {
    this.seen = this.seen.filter((x) => x.arrived > arrived - CLOCK_SPAN_MS);
    this.seen.push({ arrived, offset: arrived - clock });
    const offset = Math.min(...this.seen.map((x) => x.offset));
    const late = this.seen.filter((x) => x.arrived > arrived - JITTER_SPAN_MS).map((x) => x.offset - offset);
    late.sort((a, b) => a - b);
    return clock + offset + Math.min(late[Math.floor(0.9 * (late.length - 1))], this.tickMs);
  }
}

class Screen {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
  }

  resize([height, width]) {
    Object.assign(this.canvas, { width, height });
  }

  draw(bitmap) {
    this.context.drawImage(bitmap, 0, 0);
  }
}

export class Display {
  /** onDrawn(frame) is called when a frame is on the canvas. */
  constructor(stage, dream, game, onDrawn) {
    this.stage = stage;
    this.dream = new Screen(dream);
    this.game = new Screen(game);
    this.onDrawn = onDrawn;
    this.last = 0;
    this.visit = 0;
    this.size = [64, 64];
    new ResizeObserver(() => this.fit()).observe(stage);
    addEventListener("resize", () => this.fit());
  }

  enter(size, fps) {
    this.leave();
    this.size = size;
    this.playout = new Playout(1000 / fps);
    this.last = 0;
    this.dream.resize(size);
    this.game.resize(size);
    this.fit();
  }

  /** Frames that still wait are not drawn any more: not over the note that the connection is closed, nor in another world. */
  leave() {
    this.visit += 1;
  }

  async show(frame) {
    const visit = this.visit;
    const due = this.playout.due(frame);
    const pictures = [frame.dream, frame.real].filter(Boolean);
    const [dream, real] = await Promise.all(pictures.map((blob) => createImageBitmap(blob)));
    const wait = due - performance.now();
    if (wait > 1) await new Promise((done) => setTimeout(done, wait));
    if (visit === this.visit) this.draw(frame, dream, real);
    dream.close();
    real?.close();
  }

  draw(frame, dream, real) {
    if (frame.number <= this.last) return; // a newer one was due meanwhile
    this.last = frame.number;
    this.dream.draw(dream);
    if (real) this.game.draw(real);
    this.onDrawn(frame);
  }

  showPair(on) {
    this.stage.classList.toggle("pair", on);
    this.game.canvas.parentElement.hidden = !on;
    this.fit();
  }

  /** Enlarge by a whole factor of device pixels where there is room for one; a pair lies whichever way it is larger. */
  fit() {
    const isPair = this.stage.classList.contains("pair");
    const beside = this.room(isPair ? 2 : 1, 1, isPair);
    const stacked = isPair ? this.room(1, 2, true) : 0;
    this.stage.classList.toggle("stacked", stacked > beside);
    const ratio = devicePixelRatio || 1;
    const free = Math.max(beside, stacked, 0.5);
    const zoom = Math.floor(free * ratio) / ratio || free;
    const [height, width] = this.size;
    for (const { canvas } of [this.dream, this.game]) {
      canvas.style.width = `${width * zoom}px`;
      canvas.style.height = `${height * zoom}px`;
    }
  }

  /** How much a picture can be enlarged in so many columns and rows. */
  room(columns, rows, captioned) {
    const [height, width] = this.size;
    const caption = captioned ? CAPTION : 0;
    const free = (length, count) => (length - RIM - GAP * (count - 1)) / count;
    return Math.min(free(this.stage.clientWidth, columns) / width, (free(this.stage.clientHeight, rows) - caption) / height);
  }

  pixels() {
    const { canvas, context } = this.dream;
    return context.getImageData(0, 0, canvas.width, canvas.height).data;
  }
}
