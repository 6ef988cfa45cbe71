// One transport of a session over WebRTC: sound both ways, and a data channel of JSON events.
//
// Whatever carries a session has this face, so that nobody else need know what does:
//
//   call.kind                 "webrtc" or "websocket"
//   call.start(microphone, resume, since)
//                             never throws: what goes wrong arrives as "ended". `resume()` gives
//                             what the server is asked to resume, or null; it is called when it is
//                             sent. Sound of the microphone from before `since` (ms) is not sent.
//   call.send(message)        a JSON message to the server; dropped while there is no connection
//   call.stop()               plays nothing more; what was played, as the server wants to know it
//   call.hangUp()             ends this transport, and the session if it carries one
//   call.drop()               ends this transport only, and without a word
//   call.retire()             another carries the session: ends when what is there was played
//   call.measure()            a promise of {kind, rtt, loss, jitter, details} of the path
//   call.heardAt              when something last came from the server
//   "message"   detail: a message from the server
//   "remote"    detail: the MediaStream to play, if it is one of the transport's own
//   "silent"    detail: that stream, when it is over
//   "unstable"  detail: whether the connection is struggling
//   "ended"     detail: a CallProblem; once, and last, if nobody here wanted it

import { CallProblem } from "./problems.js";
import { Farewell } from "./farewell.js";
import { Pulse } from "./pulse.js";
import { measurePeer } from "./peer-stats.js";

const TRICKLE_MS = 50;     // candidates come in bursts: one request for each burst
const SILENCE_MS = 800;    // audio comes every 20 ms: after so long without any the path is lost
const REPORT_MS = 250;
const REMAINDER_MS = 300;  // what a browser's jitter buffer may still hold

export class WebRtcCall extends EventTarget {
  kind = "webrtc";
  #only;
  #peer = null;
  #channel = null;
  #stream = null;
  #id = null;            // the server's name for this transport, once it has answered
  #candidates = [];      // found but not yet sent
  #trickleTimer = 0;
  #reportTimer = 0;
  #over = false;
  #farewell = new Farewell();
  #pulse = null;
  #stats = null;         // of the last measurement
  #timestamp = null;     // RTP, of the last packet that was played

  /** `only`: "udp", "tcp" or "relay", to take no other way; null takes any. */
  constructor(only = null) {
    super();
    this.#only = only;
  }

  get heardAt() {
    return this.#pulse?.heardAt ?? performance.now();
  }

  async start(microphone, resume) {
    try {
      await this.#negotiate(microphone, resume);
    } catch (error) {
      this.#end(error instanceof CallProblem ? error : new CallProblem("refused", error.message));
    }
  }

  send(message) {
    if (this.#channel?.readyState === "open") this.#channel.send(JSON.stringify(message));
  }

  stop() {
    this.#followPlayout();
    if (this.#stream) this.#emit("silent", this.#stream);
    return this.#timestamp === null ? null : { timestamp: this.#timestamp };
  }

  hangUp() {
    this.#leave();
    this.#close();
  }

  drop() {
    this.#id = null;
    this.#close();
  }

  retire() {
    this.#leave();
    this.#id = null;
    this.#over = true;
    setTimeout(() => this.#close(), REMAINDER_MS);
  }

  async measure() {
    if (!this.#peer) return null;
    const stats = await measurePeer(this.#peer, this.#stats);
    this.#stats = stats;
    const { kind, loss, jitter, details } = stats;
    return { kind, rtt: this.#pulse?.rtt ?? null, loss, jitter, details };
  }

  async #negotiate(microphone, resume) {
    const config = await (await request("api/config")).json();
    if (this.#over) return;
    const peer = new RTCPeerConnection({
      iceServers: config.ice_servers,
      iceTransportPolicy: this.#only === "relay" ? "relay" : config.ice_transport_policy ?? "all",
    });
    this.#peer = peer;
    peer.onicecandidate = ({ candidate }) => candidate?.candidate && this.#trickle(candidate);
    peer.onconnectionstatechange = () => this.#followConnection();
    peer.ontrack = ({ track, streams: [stream] }) => {
      this.#stream = stream ?? new MediaStream([track]);
      this.#emit("remote", this.#stream);
    };
    for (const track of microphone.getAudioTracks()) peer.addTrack(track, microphone);
    this.#openChannel(peer.createDataChannel("events"));

    await peer.setLocalDescription(await peer.createOffer());
    // Sent at once: candidates follow while the server is already at work.
    const body = { sdp: peer.localDescription.sdp, type: "offer", pc_id: null, restart_pc: false };
    const resumed = resume?.();
    if (resumed) body.resume = resumed;
    if (this.#only === "tcp") body.sdp = withoutCandidates(body.sdp, () => false);
    const response = await request("api/offer", "POST", body);
    const answer = await response.json();
    if (this.#over) { // given up while the server was answering
      if (!resumed) leave(answer.pc_id);
      return;
    }
    this.#id = answer.pc_id;
    const sdp = this.#narrow(answer.sdp);
    await peer.setRemoteDescription({ type: "answer", sdp });
    this.#sendCandidates();
  }

  /** The answer without those candidates that are not to be used. Throws where none is left. */
  #narrow(sdp) {
    if (this.#only !== "tcp" && this.#only !== "udp") return sdp;
    const narrowed = withoutCandidates(sdp, (line) => isTcp(line) === (this.#only === "tcp"));
    if (!narrowed.includes("a=candidate:")) throw new CallProblem("not-offered");
    return narrowed;
  }

  #openChannel(channel) {
    this.#channel = channel;
    channel.onopen = () => {
      this.#pulse = new Pulse({
        send: (message) => this.send(message),
        moved: () => this.#followPlayout(),
        limit: SILENCE_MS,
        lost: () => this.#end(new CallProblem("dropped")),
      });
      this.#reportTimer = setInterval(() => this.#report(), REPORT_MS);
    };
    channel.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      this.#pulse?.hear(message);
      this.#farewell.hear(message);
      this.#emit("message", message);
    };
    channel.onclose = () => this.#end(this.#farewell.problem ?? new CallProblem("left"));
  }

  /** Notes how far playout is; true if it went on since the last time. */
  #followPlayout() {
    const source = this.#peer?.getReceivers?.()[0]?.getSynchronizationSources?.()[0];
    const timestamp = source?.rtpTimestamp;
    if (timestamp === undefined || timestamp === this.#timestamp) return false;
    this.#timestamp = timestamp;
    return true;
  }

  #report() {
    this.#followPlayout();
    if (this.#timestamp !== null) this.send({ type: "played", timestamp: this.#timestamp });
  }

  #trickle(candidate) {
    if (this.#only === "tcp") return; // the server would try them, and not by TCP
    this.#candidates.push({
      candidate: candidate.candidate,
      sdp_mid: candidate.sdpMid,
      sdp_mline_index: candidate.sdpMLineIndex,
    });
    if (!this.#id || this.#trickleTimer) return;
    this.#trickleTimer = setTimeout(() => this.#sendCandidates(), TRICKLE_MS);
  }

  #sendCandidates() {
    this.#trickleTimer = 0;
    if (this.#over || !this.#candidates.length) return;
    const candidates = this.#candidates.splice(0);
    // A lost candidate need not lose the call: the server sees where our checks come from.
    request("api/offer", "PATCH", { pc_id: this.#id, candidates }).catch(console.warn);
  }

  #followConnection() {
    const state = this.#peer.connectionState;
    if (state === "connected") this.#emit("unstable", false);
    else if (state === "disconnected") this.#emit("unstable", true);
    else if (state === "failed") {
      const connected = this.#channel.readyState !== "connecting";
      this.#end(new CallProblem(connected ? "dropped" : "no-media"));
    }
  }

  #end(problem) {
    if (this.#over) return;
    this.#over = true;
    this.#quiet();
    this.#emit("ended", problem);
  }

  #close() {
    this.#over = true;
    this.#quiet();
    this.#peer?.close();
    if (this.#stream) this.#emit("silent", this.#stream);
  }

  #quiet() {
    this.#pulse?.stop();
    clearTimeout(this.#trickleTimer);
    clearInterval(this.#reportTimer);
  }

  #leave() {
    if (this.#id) leave(this.#id);
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function leave(id) {
  // keepalive: the request outlives a page that is being closed.
  request(`api/offer/${id}`, "DELETE", undefined, true).catch(() => {});
}

function isTcp(line) {
  return / tcp /i.test(line);
}

function withoutCandidates(sdp, kept) {
  const stays = (line) => !/^a=candidate:/.test(line) || kept(line);
  return sdp.split("\r\n").filter(stays).join("\r\n");
}

/** A fetch that answers or throws a CallProblem with the server's reason. */
async function request(path, method = "GET", body = undefined, keepalive = false) {
  let response;
  try {
    response = await fetch(path, {
      method,
      keepalive,
      headers: body && { "Content-Type": "application/json" },
      body: body && JSON.stringify(body),
    });
  } catch {
    throw new CallProblem("unreachable");
  }
  if (response.ok) return response;
  const error = await response.json().then((json) => json.error, () => null);
  if (response.status === 503) throw new CallProblem("busy", error?.message);
  if (error?.code === "resume_refused") throw new CallProblem("resume-refused", error.message);
  throw new CallProblem("refused", error?.message || `The server answered ${response.status}.`);
}
