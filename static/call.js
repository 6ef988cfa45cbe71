// One call over WebRTC: sound both ways, and a data channel of JSON events.
//
// Whatever carries a call has this face, so that the page need not know what does:
//
//   call.start(microphone)   never throws: what goes wrong arrives as "ended"
//   call.send(message)       a JSON message to the server; dropped while there is no channel
//   call.hangUp()
//   "open"      events flow
//   "message"   detail: a message from the server
//   "remote"    detail: the MediaStream to play
//   "unstable"  detail: whether the connection is struggling
//   "ended"     detail: a CallProblem, or null when the caller hung up; once, and last

import { CallProblem } from "./problems.js";

const CONNECT_TIMEOUT_MS = 15000; // Chromium itself gives up on blocked UDP after about 15 s
const LOST_TIMEOUT_MS = 10000;    // a Wi-Fi hand-over takes a few seconds and heals by itself
const TRICKLE_MS = 50;            // candidates come in bursts: one request for each burst

export class WebRtcCall extends EventTarget {
  #peer = null;
  #channel = null;
  #id = null;            // the server's name for this call, once it has answered
  #candidates = [];      // found but not yet sent
  #trickleTimer = 0;
  #deadline = 0;         // the timer that gives the call up: while connecting, and while it is lost
  #ended = false;
  #farewell = null;      // why the server is about to end the call, if it said so

  async start(microphone) {
    this.#giveUpAfter(CONNECT_TIMEOUT_MS, () => (this.#id ? "no-media" : "unreachable"));
    try {
      await this.#negotiate(microphone);
    } catch (error) {
      this.#end(error instanceof CallProblem ? error : new CallProblem("refused", error.message));
    }
  }

  send(message) {
    if (this.#channel?.readyState === "open") this.#channel.send(JSON.stringify(message));
  }

  hangUp() {
    this.#end(null);
  }

  async #negotiate(microphone) {
    const config = await (await request("api/config")).json();
    if (this.#ended) return;
    const peer = new RTCPeerConnection({ iceServers: config.ice_servers });
    this.#peer = peer;
    peer.onicecandidate = ({ candidate }) => candidate?.candidate && this.#trickle(candidate);
    peer.onconnectionstatechange = () => this.#followConnection();
    peer.ontrack = ({ track, streams: [stream] }) =>
      this.#emit("remote", stream ?? new MediaStream([track]));
    for (const track of microphone.getAudioTracks()) peer.addTrack(track, microphone);
    this.#openChannel(peer.createDataChannel("events"));

    await peer.setLocalDescription(await peer.createOffer());
    // Sent at once: candidates follow while the server is already at work.
    const response = await request("api/offer", "POST", {
      sdp: peer.localDescription.sdp, type: "offer", pc_id: null, restart_pc: false,
    });
    const answer = await response.json();
    this.#id = answer.pc_id;
    if (this.#ended) return this.#leave(); // hung up while the server was answering
    await peer.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    this.#sendCandidates();
  }

  #openChannel(channel) {
    this.#channel = channel;
    channel.onopen = () => this.#emit("open");
    channel.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      this.#noteFarewell(message);
      this.#emit("message", message);
    };
    channel.onclose = () => this.#end(this.#farewell ?? new CallProblem("dropped"));
  }

  /** The server says that it closes the call, and mostly, in an error just before, why. */
  #noteFarewell({ type, state, message }) {
    if (type === "error") this.#farewell = new CallProblem("closed", message);
    else if (type === "state" && state === "closed") this.#farewell ??= new CallProblem("closed");
    else if (type === "state") this.#farewell = null;
  }

  #trickle(candidate) {
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
    if (this.#ended || !this.#candidates.length) return;
    const candidates = this.#candidates.splice(0);
    // A lost candidate need not lose the call: the server sees where our checks come from.
    request("api/offer", "PATCH", { pc_id: this.#id, candidates }).catch(console.warn);
  }

  #followConnection() {
    const state = this.#peer.connectionState;
    if (state === "connected") {
      clearTimeout(this.#deadline);
      this.#emit("unstable", false);
    } else if (state === "disconnected") {
      this.#emit("unstable", true);
      this.#giveUpAfter(LOST_TIMEOUT_MS, () => "dropped");
    } else if (state === "failed") {
      const connected = this.#channel.readyState !== "connecting";
      this.#end(new CallProblem(connected ? "dropped" : "no-media"));
    }
  }

  #giveUpAfter(milliseconds, code) {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#end(new CallProblem(code())), milliseconds);
  }

  #end(problem) {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#deadline);
    clearTimeout(this.#trickleTimer);
    if (problem?.code !== "closed") this.#leave();
    this.#peer?.close();
    this.#emit("ended", problem);
  }

  #leave() {
    // keepalive: the request outlives a page that is being closed.
    if (this.#id) request(`api/offer/${this.#id}`, "DELETE", undefined, true).catch(() => {});
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
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
  const said = await response.json().then((json) => json.error?.message, () => "");
  if (response.status === 503) throw new CallProblem("busy", said);
  throw new CallProblem("refused", said || `The server answered ${response.status}.`);
}
