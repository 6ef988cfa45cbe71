// A session over whatever carries it: chooses, falls back, resumes, and moves back.
//
//   line.start(microphone, context)   never throws: what goes wrong arrives as "ended"
//   line.send(message)
//   line.hangUp()
//   line.measure()                    of the path, as a call does it; null while there is none
//   "message", "remote", "silent", "unstable"   as of a call
//   "carried"   detail: whether a transport carries the session
//   "renewed"   the session was over and another has begun
//   "ended"     detail: a CallProblem, or null when the caller hung up; once, and last

import { WebRtcCall } from "./call.js";
import { Capture } from "./capture.js";
import { CallProblem } from "./problems.js";
import { SessionTicket } from "./ticket.js";
import { WebSocketCall } from "./websocket-call.js";

const WEBRTC_MS = 2500;      // browsers themselves give up on blocked UDP after about 15 s
const WEBSOCKET_MS = 6000;
const BETTER_MS = 6000;      // while something else carries the call there is time
const HANDOVER_MS = 1000;    // from the end of the old transport to the first word of the new
const BACKOFF_MS = [0, 250, 500, 1000, 2000];
const BETTER_AFTER_MS = [5000, 15000, 30000, 60000];
const STEADY_MS = 60000;     // WebRTC that held for so long deserves to be tried soon again

/** What `?transport=` may say: the kinds of transport to use, and what WebRTC is held to. */
export const FORCED = {
  webrtc: { kinds: ["webrtc"], only: null },
  tcp: { kinds: ["webrtc"], only: "tcp" },
  relay: { kinds: ["webrtc"], only: "relay" },
  websocket: { kinds: ["websocket"], only: null },
};

const FREE = { kinds: ["webrtc", "websocket"], only: null };

// After these no other way would lead further.
const FINAL = new Set(["busy", "unreachable", "closed"]);

export function possibleKinds() {
  const kinds = [];
  if (window.RTCPeerConnection) kinds.push("webrtc");
  if (window.WebSocket && window.AudioWorkletNode) kinds.push("websocket");
  return kinds;
}

export class Line extends EventTarget {
  #kinds;
  #only;
  #microphone = null;
  #out = null;           // where WebSocket calls play to
  #capture = null;       // a promise of it
  #ticket = null;        // what the session is resumed with; null before the first event
  #current = null;       // the transport that carries the session
  #attempt = null;       // {call, fresh, fail} of the one that is being tried
  #ended = false;
  #betterTimer = 0;
  #betterTries = 0;
  #webrtcSince = 0;
  #handoverTimer = 0;
  #hurry = () => {};     // ends the pause before the next attempt
  #onOnline = () => this.#followNetwork();
  #onNetworkChange = () => this.#noteNetworkType();
  #networkType = navigator.connection?.type;

  /** `forced`: a key of FORCED, or anything else for the free choice. */
  constructor(forced = null) {
    super();
    const { kinds, only } = FORCED[forced] ?? FREE;
    const possible = possibleKinds();
    this.#kinds = kinds.filter((kind) => possible.includes(kind));
    this.#only = only;
  }

  get kind() {
    return this.#current?.kind ?? null;
  }

  async start(microphone, context) {
    this.#microphone = microphone;
    if (this.#kinds.includes("websocket")) {
      // Open for the whole call: an element may take half a second to begin to play.
      this.#out = context.createMediaStreamDestination();
      this.#emit("remote", this.#out.stream);
      this.#capture = Capture.open(context, microphone);
      this.#capture.catch(() => {}); // heard of by the call that needs it
    }
    addEventListener("online", this.#onOnline);
    navigator.connection?.addEventListener?.("change", this.#onNetworkChange);
    try {
      await this.#begin();
    } catch (problem) {
      this.#end(problem);
    }
  }

  send(message) {
    this.#current?.send(message);
  }

  hangUp() {
    this.#end(null);
  }

  async measure() {
    return (await this.#current?.measure()) ?? null;
  }

  /** A session from its beginning, over the first kind that works. Throws CallProblem. */
  async #begin() {
    let problem = new CallProblem("no-way");
    for (const [index, kind] of this.#kinds.entries()) {
      try {
        return await this.#try(kind, { limit: this.#limit(kind, index) });
      } catch (failure) {
        if (this.#ended || FINAL.has(failure.code)) throw failure;
        if (index === 0) problem = failure;
      }
    }
    throw problem;
  }

  #limit(kind, index) {
    if (kind === "websocket") return WEBSOCKET_MS;
    return index + 1 < this.#kinds.length ? WEBRTC_MS : 6 * WEBRTC_MS;
  }

  /** Resolves when a new transport carries the session, throws CallProblem if it will not. */
  #try(kind, { resume = null, since = -Infinity, limit }) {
    const call = kind === "webrtc"
      ? new WebRtcCall(this.#only)
      : new WebSocketCall(this.#out, this.#capture);
    for (const type of ["remote", "silent"]) {
      call.addEventListener(type, ({ detail }) => this.#emit(type, detail));
    }
    return new Promise((resolve, reject) => {
      const fail = (problem) => {
        clearTimeout(timer);
        if (this.#attempt?.call === call) this.#attempt = null;
        // Without a session of its own it might be carrying ours: then nothing may hang it up.
        if (resume) call.drop();
        else call.hangUp();
        reject(problem);
      };
      const timer = setTimeout(() => fail(new CallProblem("no-media")), limit);
      const trying = () => this.#attempt?.call === call;
      this.#attempt = { call, fail };
      call.addEventListener("message", ({ detail }) => {
        if (trying() && detail.type.startsWith("session.")) {
          clearTimeout(timer);
          this.#attempt = null;
          this.#adopt(call, detail);
          resolve();
        }
        this.#receive(detail);
      });
      call.addEventListener("unstable", ({ detail }) => {
        if (call === this.#current) this.#emit("unstable", detail);
      });
      call.addEventListener("ended", ({ detail }) => {
        if (trying()) fail(detail);
        else if (call === this.#current) this.#lose(detail);
        else call.drop(); // it was being retired
      });
      call.start(this.#microphone, resume, since);
    });
  }

  #adopt(call, first) {
    clearTimeout(this.#handoverTimer);
    const old = this.#current;
    const renewed = this.#ticket && first.type === "session.started";
    if (first.type === "session.started") this.#ticket = new SessionTicket();
    this.#ticket.take(first);
    this.#current = call;
    old?.retire();
    if (call.kind === "webrtc") this.#webrtcSince = performance.now();
    else this.#planBetter();
    if (renewed) this.#emit("renewed");
    this.#emit("carried", true);
  }

  #receive(message) {
    if (!this.#ended && (this.#ticket?.isNew(message) ?? true)) this.#emit("message", message);
  }

  /** The transport that carried the session has ended. */
  #lose(problem) {
    if (problem.code === "closed") return this.#end(problem);
    if (problem.code === "left" && this.#attempt) {
      // The server has moved the session to the new one, which will say so any moment.
      this.#handoverTimer = setTimeout(() => this.#recover(), HANDOVER_MS);
      return;
    }
    this.#recover();
  }

  async #recover() {
    const lost = this.#current;
    if (!lost) return;
    this.#current = null;
    clearTimeout(this.#betterTimer);
    clearTimeout(this.#handoverTimer);
    this.#attempt?.fail(new CallProblem("dropped"));
    if (lost.kind === "webrtc" && performance.now() > this.#webrtcSince + STEADY_MS) {
      this.#betterTries = 0;
    }
    this.#emit("carried", false);
    try {
      if (!(await this.#resume(lost))) {
        lost.drop();
        await this.#begin();
      }
    } catch (problem) {
      this.#end(problem.code === "closed" ? problem : new CallProblem("dropped"));
    }
  }

  /** The lost transport's session over another: false if the server knows it no more. */
  async #resume(lost) {
    let played; // asked of it only when it is told: until then it still sounds
    const resume = () => {
      if (played === undefined) played = lost.stop();
      return this.#ticket.resume(played);
    };
    const order = this.#order(lost.kind);
    const until = performance.now() + 1000 * this.#ticket.window;
    const since = lost.heardAt;
    for (let round = 0; performance.now() < until; round++) {
      await this.#pause(BACKOFF_MS[Math.min(round, BACKOFF_MS.length - 1)]);
      if (this.#ended) return true;
      const kind = order[round % order.length];
      try {
        await this.#try(kind, { resume, since, limit: this.#limit(kind, 0) });
        lost.retire();
        return true;
      } catch (problem) {
        if (this.#ended) return true;
        if (problem.code === "resume-refused") return false;
      }
    }
    lost.drop();
    throw new CallProblem("dropped");
  }

  /** In which order the kinds are tried, round after round, when one was lost. */
  #order(lost) {
    if (this.#kinds.length < 2) return this.#kinds;
    return lost === "webrtc" ? ["websocket", "webrtc"] : ["websocket", "websocket", "webrtc"];
  }

  #pause(milliseconds) {
    return new Promise((resolve) => {
      this.#hurry = resolve;
      setTimeout(resolve, milliseconds);
    });
  }

  #planBetter() {
    clearTimeout(this.#betterTimer);
    if (!this.#kinds.includes("webrtc")) return;
    const pause = BETTER_AFTER_MS[Math.min(this.#betterTries, BETTER_AFTER_MS.length - 1)];
    this.#betterTimer = setTimeout(() => this.#moveToWebRtc(), pause);
  }

  /** While the old transport still carries the session: it does, until the new one can. */
  async #moveToWebRtc() {
    clearTimeout(this.#betterTimer);
    if (!this.#current || this.#attempt) return;
    this.#betterTries++;
    try {
      await this.#try("webrtc", { resume: () => this.#ticket.resume(null), limit: BETTER_MS });
    } catch {
      if (this.#current?.kind === "websocket") this.#planBetter();
    }
  }

  /** The event tells of every new estimate of the speed, too. */
  #noteNetworkType() {
    const { type } = navigator.connection;
    if (type !== this.#networkType) this.#followNetwork();
    this.#networkType = type;
  }

  #followNetwork() {
    if (!this.#current) this.#hurry();
    else if (this.#kinds.includes("webrtc")) this.#moveToWebRtc();
  }

  #end(problem) {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#betterTimer);
    clearTimeout(this.#handoverTimer);
    removeEventListener("online", this.#onOnline);
    navigator.connection?.removeEventListener?.("change", this.#onNetworkChange);
    this.#attempt?.fail(new CallProblem("dropped"));
    this.#current?.hangUp();
    this.#current = null;
    this.#hurry();
    this.#capture?.then((capture) => capture.close(), () => {});
    this.#emit("ended", problem);
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
