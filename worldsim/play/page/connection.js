// The WebSocket: frames in, messages out. docs/play-protocol.md defines each byte.

export const FLAGS = { terminated: 1, truncated: 2, begun: 4, held: 8, realEnded: 16, uncertaintyKnown: 32, jumped: 64 };
const HEADER = 48;
const PING_MS = 5000;
const RETRY_MS = 2000;
const RETRY_FOR_MS = 60000;
const REASONS = {
  1001: "The server has stopped.",
  1006: "The connection is broken.",
  1013: "All places are taken.",
  4000: "You were away for a while.",
  4001: "The server got no message from this page.",
};

export class Connection {
  /** on = { text(message), frame(frame), closed({ reason, retries }) } */
  constructor(on) {
    this.on = on;
    this.lastSentAt = 0;
    this.lostAt = 0;
    setInterval(() => performance.now() - this.lastSentAt > PING_MS && this.send({ type: "ping" }), 1000);
    addEventListener("pagehide", () => this.socket.close()); // so that the place is free at once
    addEventListener("pageshow", (event) => event.persisted && this.connect());
    this.connect();
  }

  connect() {
    if (this.socket?.readyState <= WebSocket.OPEN) return;
    const address = new URL(`play${location.search}`, location.href); // below the page, with the key of its link
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => (typeof data === "string" ? this.onText(JSON.parse(data)) : this.onFrame(data));
    socket.onclose = (event) => socket === this.socket && this.onClose(event);
    this.socket = socket;
  }

  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  send(message) {
    if (!this.isOpen) return false;
    this.socket.send(message instanceof ArrayBuffer ? message : JSON.stringify(message));
    this.lastSentAt = performance.now();
    return true;
  }

  onText(message) {
    this.lostAt = 0; // any message, if only of a queue, means that the server is back
    this.on.text(message);
  }

  onFrame(data) {
    const frame = decode(data);
    this.send({ type: "ack", frame: frame.number }); // on arrival, so that the next one is on its way while this one is drawn
    this.on.frame(frame);
  }

  onClose({ code, reason }) {
    const now = performance.now();
    const words = reason ? reason[0].toUpperCase() + reason.slice(1) : REASONS[code] || "The connection was closed.";
    if (!this.lostAt) [this.lostAt, this.lostWhy] = [now, words.replace(/\.?$/, ".")]; // the first reason, not that of a retry
    const retries = (code === 1006 || code === 1001) && now - this.lostAt < RETRY_FOR_MS;
    this.on.closed({ reason: this.lostWhy, retries });
    if (retries) setTimeout(() => this.connect(), RETRY_MS);
  }
}

function decode(data) {
  const view = new DataView(data);
  const flags = view.getUint8(1);
  const length = view.getUint32(12, true);
  return {
    flags,
    number: view.getUint32(4, true),
    answered: view.getUint32(8, true),
    clock: view.getFloat64(16, true),
    reward: view.getFloat32(24, true),
    total: view.getFloat32(28, true),
    uncertainty: flags & FLAGS.uncertaintyKnown ? view.getFloat32(32, true) : null,
    realReward: view.getFloat32(36, true),
    realTotal: view.getFloat32(40, true),
    modelMs: view.getFloat32(44, true),
    dream: new Blob([new Uint8Array(data, HEADER, length)]),
    real: data.byteLength > HEADER + length ? new Blob([new Uint8Array(data, HEADER + length)]) : null,
    arrived: performance.now(),
  };
}
