// From frames to pixels: decoded, held back just long enough to come at an even pace, drawn by whole factors.

const CLOCK_SPAN_MS = 5000;
const JITTER_SPAN_MS = 2000;

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
    bitmap.close();
  }
}

export class View {
  /** onDrawn(frame) is called when a frame is on the canvas. */
  constructor(stage, dream, game, onDrawn) {
    this.stage = stage;
    this.dream = new Screen(dream);
    this.game = new Screen(game);
    this.onDrawn = onDrawn;
    this.last = 0;
    this.size = [64, 64];
    new ResizeObserver(() => this.fit()).observe(stage);
    addEventListener("resize", () => this.fit());
  }

  enter(size, fps) {
    this.size = size;
    this.playout = new Playout(1000 / fps);
    this.last = 0;
    this.dream.resize(size);
    this.game.resize(size);
    this.fit();
  }

  async show(frame) {
    const due = this.playout.due(frame);
    const pictures = [frame.dream, frame.real].filter(Boolean);
    const [dream, real] = await Promise.all(pictures.map((blob) => createImageBitmap(blob)));
    const wait = due - performance.now();
    if (wait > 1) setTimeout(() => this.draw(frame, dream, real), wait);
    else this.draw(frame, dream, real);
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

  /** Enlarge by a whole factor of device pixels where there is room for one. */
  fit() {
    const pair = this.stage.classList.contains("pair");
    const narrow = innerWidth <= 860;
    const [height, width] = this.size;
    const caption = 26;
    const roomX = (this.stage.clientWidth - (pair && !narrow ? 20 : 0)) / (pair ? 2 : 1) - 4;
    const roomY = narrow ? innerHeight * 0.5 : this.stage.clientHeight - caption;
    const ratio = devicePixelRatio || 1;
    const free = Math.min(roomX / width, roomY / height);
    const whole = Math.floor(free * ratio) / ratio;
    const zoom = whole >= 1 ? whole : Math.max(free, 0.5);
    for (const { canvas } of [this.dream, this.game]) {
      canvas.style.width = `${width * zoom}px`;
      canvas.style.height = `${height * zoom}px`;
    }
  }

  pixels() {
    const { canvas, context } = this.dream;
    return context.getImageData(0, 0, canvas.width, canvas.height).data;
  }
}
