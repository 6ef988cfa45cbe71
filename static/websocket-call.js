// One transport of a session over a WebSocket; call.js says what face it has, and
// docs/protocol.md what it says to the server.

import { openCodec } from "./codec.js";
import { Farewell } from "./farewell.js";
import { SILENCE, decodePacket, encodePacket } from "./packets.js";
import { CallProblem } from "./problems.js";
import { Pulse } from "./pulse.js";

const SILENCE_MS = 3000;    // TCP repairs a loss within a second or two, and then all is well
const UPLINK_SECONDS = 0.5; // of audio that may wait to be sent; what is older is dropped
const EARLY_SECONDS = 2.5;  // the same in the first second, when what was said before is sent
const REPORT_MS = 250;
const HEADER_BYTES_PER_SECOND = 50 * 12;

// Close codes: 4000–4999 are the protocol's own.
const HANG_UP = 1000;
const MOVED = 4000;
const PROBLEMS = { 4000: "left", 4003: "resume-refused", 4013: "busy" };

export class WebSocketCall extends EventTarget {
  kind = "websocket";
  #out;
  #capture;
  #codec = null;
  #socket = null;
  #node = null;
  #pulse = null;
  #farewell = new Farewell();
  #refusal = null;       // what the server said in place of a first event
  #started = false;
  #over = false;
  #sequence = 0;         // of the next packet of ours
  #backlog = [];         // packets that wait until the connection takes more
  #openedAt = Infinity;
  #report = null;        // of the playout, the latest
  #reportedAt = 0;       // when the server was last told of one
  #before = { played: 0, concealed: 0 };
  #listener = (frame) => this.#sendFrame(frame);

  /** `out` is the AudioNode to play to, `capture` a promise of a Capture on its context. */
  constructor(out, capture) {
    super();
    this.#out = out;
    this.#capture = capture;
  }

  get heardAt() {
    return this.#pulse?.heardAt ?? performance.now();
  }

  async start(microphone, resume, since = -Infinity) {
    try {
      // The capture brings the worklet's module with it.
      const [capture, codec] = await Promise.all([this.#capture, openCodec()]);
      if (this.#over) return codec.close();
      this.#codec = codec;
      codec.onfail = () => this.#end(new CallProblem("dropped"));
      this.#openPlayout();
      this.#openSocket(capture, resume, since);
    } catch (error) {
      this.#end(new CallProblem("refused", error.message));
    }
  }

  send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  stop() {
    this.#node?.port.postMessage({ flush: Infinity });
    this.#node?.port.postMessage({ end: true });
    const sequence = this.#report?.sequence;
    return sequence === undefined || sequence === null ? null : { sequence };
  }

  hangUp() {
    this.#close(HANG_UP);
    this.#free();
  }

  drop() {
    this.#close(MOVED);
    this.#free();
  }

  retire() {
    this.#close(MOVED);
    this.#codec?.afterwards(() => this.#node?.port.postMessage({ end: true }));
  }

  async measure() {
    const now = this.#report;
    const rtt = this.#pulse?.rtt ?? null;
    if (!now) return { kind: "WebSocket", rtt, loss: 0, jitter: 0, details: {} };
    const played = now.played - this.#before.played;
    const concealed = now.concealed - this.#before.concealed;
    this.#before = now;
    return {
      kind: "WebSocket",
      rtt,
      loss: played ? (100 * concealed) / played : 0,
      jitter: now.jitter,
      details: { codec: this.#codec.hello.codec, held: now.held, target: now.target },
    };
  }

  #openPlayout() {
    const { rate } = this.#codec;
    this.#node = new AudioWorkletNode(this.#out.context, "playout", {
      numberOfInputs: 0,
      outputChannelCount: [1],
      processorOptions: { rate },
    });
    this.#node.port.onmessage = ({ data }) => this.#noteReport(data);
    this.#node.connect(this.#out);
  }

  #openSocket(capture, resume, since) {
    const url = new URL("ws/call", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const session = resume?.()?.session_id;
    // So that a server of several processes need not carry the call from one to the other.
    url.search = session ? `?session_id=${encodeURIComponent(session)}` : "";
    url.hash = "";
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      const hello = { type: "hello", ...this.#codec.hello };
      const resumed = resume?.();
      if (resumed) hello.resume = resumed;
      this.send(hello);
      this.#openedAt = performance.now();
      capture.listen(this.#listener, since);
      this.#pulse = new Pulse({
        send: (message) => this.send(message),
        moved: () => false,
        limit: SILENCE_MS,
        lost: () => this.#end(new CallProblem("dropped")),
      });
    };
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") this.#receiveText(JSON.parse(data));
      else this.#receivePacket(data);
    };
    socket.onclose = ({ code }) => this.#end(this.#whyClosed(code));
  }

  #receiveText(message) {
    this.#pulse.hear(message);
    this.#farewell.hear(message);
    if (message.type === "flush") {
      this.#node?.port.postMessage({ flush: message.sequence });
    } else if (!this.#started && message.type === "error") {
      this.#refusal = message.message;
    } else {
      this.#started ||= message.type.startsWith("session.");
      this.#emit("message", message);
    }
  }

  #receivePacket(buffer) {
    const arrival = performance.now();
    this.#pulse.hear(null);
    const packet = decodePacket(buffer);
    if (!packet || !this.#node) return;
    const { kind, sequence, timestamp, payload } = packet;
    if (kind === SILENCE) {
      this.#codec.afterwards(() => this.#node?.port.postMessage({ silence: sequence }));
    } else if (kind === this.#codec.kind) {
      this.#codec.decode(payload, sequence, (samples) => this.#node?.port.postMessage(
        { sequence, samples, arrival, timestamp }, [samples.buffer],
      ));
    }
  }

  #noteReport(report) {
    this.#report = report;
    if (report.drained) this.#free();
    else if (report.sequence !== null && performance.now() >= this.#reportedAt + REPORT_MS) {
      this.#reportedAt = performance.now();
      this.send({ type: "played", sequence: report.sequence });
    }
  }

  #sendFrame({ time, samples }) {
    this.#codec.encode(samples, (payload) => {
      this.#backlog.push(encodePacket(this.#codec.kind, this.#sequence++, time, payload));
      this.#sendBacklog();
    });
  }

  #sendBacklog() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    const early = performance.now() < this.#openedAt + 1000;
    const seconds = early ? EARLY_SECONDS : UPLINK_SECONDS;
    const limit = seconds * (this.#codec.bytesPerSecond + HEADER_BYTES_PER_SECOND);
    while (this.#backlog.length && this.#socket.bufferedAmount < limit) {
      this.#socket.send(this.#backlog.shift());
    }
    while (this.#backlog.length > seconds * 50) this.#backlog.shift();
  }

  #whyClosed(code) {
    if (this.#farewell.problem) return this.#farewell.problem;
    if (PROBLEMS[code]) return new CallProblem(PROBLEMS[code], this.#refusal ?? "");
    if (this.#refusal) return new CallProblem("refused", this.#refusal);
    if (!this.#pulse) return new CallProblem("unreachable");
    return new CallProblem("dropped");
  }

  #end(problem) {
    if (this.#over) return;
    this.#close(MOVED);
    this.#emit("ended", problem);
  }

  /** The connection ends; what is there still plays. */
  #close(code) {
    this.#over = true;
    this.#pulse?.stop();
    this.#capture.then((capture) => capture.unlisten(this.#listener), () => {});
    const socket = this.#socket;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    if (socket.readyState <= WebSocket.OPEN) socket.close(code);
  }

  #free() {
    this.#codec?.close();
    this.#node?.port.postMessage({ end: true });
    this.#node?.disconnect();
    this.#node = null;
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
