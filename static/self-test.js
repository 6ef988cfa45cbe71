// What can be found out before a call: the microphone, the echo, and which ways lead to the server.

import { WebRtcCall } from "./call.js";
import { Capture, RATE } from "./capture.js";
import { chirp, findEcho } from "./echo.js";
import { possibleKinds } from "./line.js";
import { closeMicrophone, openMicrophone } from "./microphone.js";
import { CallProblem } from "./problems.js";
import { Resampler } from "./resampler.js";
import { WebSocketCall } from "./websocket-call.js";

const ECHO_RATE = 12000;     // Hz, enough for the chirp
const CHIRP_SECONDS = 0.4;
const CHIRP_LEVEL = 0.3;
const CHIRPS = 3;            // a canceller learns from the first ones; the last is measured
const PERIOD_SECONDS = 1;
const LISTEN_MS = 1500;
const PATH_MS = 5000;

export const PATHS = ["UDP", "TCP", "relay", "WebSocket"];

/** The loudest of a second or two of the microphone, RMS in dBFS. */
export async function measureMicrophone(context) {
  return withMicrophone(context, {}, async (capture) => {
    let loudest = -120;
    const listener = ({ samples }) => {
      const energy = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      loudest = Math.max(loudest, 10 * Math.log10(energy + 1e-12));
    };
    capture.listen(listener, Infinity);
    await pause(LISTEN_MS);
    return loudest;
  });
}

/** {gain, floor}: what comes back of what is played, in dB; see `findEcho`. */
export async function measureEcho(context, echoCancellation) {
  const constraints = { echoCancellation, noiseSuppression: false, autoGainControl: false };
  return withMicrophone(context, constraints, async (capture) => {
    let recorded = [];
    capture.listen(({ samples }) => recorded.push(samples), Infinity);
    // As a WebSocket call plays: through a stream and an element.
    const out = context.createMediaStreamDestination();
    const element = new Audio();
    element.srcObject = out.stream;
    try {
      await element.play();
      const sound = context.createBuffer(1, RATE * CHIRP_SECONDS, RATE);
      sound.copyToChannel(chirp(RATE, CHIRP_SECONDS, CHIRP_LEVEL), 0);
      for (let round = 0; round < CHIRPS; round++) {
        recorded = [];
        const source = new AudioBufferSourceNode(context, { buffer: sound });
        source.connect(out);
        source.start();
        await pause(1000 * PERIOD_SECONDS);
      }
    } finally {
      element.srcObject = null;
    }
    const resampler = new Resampler(RATE, ECHO_RATE);
    for (const samples of recorded) resampler.write(samples);
    const heard = new Float32Array(resampler.available);
    resampler.read(heard);
    return findEcho(chirp(ECHO_RATE, CHIRP_SECONDS, CHIRP_LEVEL), heard);
  });
}

/** Milliseconds until a call over this one path stands; it is hung up at once. Throws CallProblem:
    "not-offered" where the browser or the server has no such path. */
export async function tryPath(path, context, stream) {
  if (!possibleKinds().includes(path === "WebSocket" ? "websocket" : "webrtc")) {
    throw new CallProblem("not-offered");
  }
  if (path === "relay" && !(await relayConfigured())) throw new CallProblem("not-offered");
  const capture = path === "WebSocket" ? Capture.open(context, stream) : null;
  const call = capture ? new WebSocketCall(context.createMediaStreamDestination(), capture) : new WebRtcCall(path.toLowerCase());
  const begun = performance.now();
  try {
    await new Promise((resolve, reject) => {
      call.addEventListener("message", ({ detail }) => {
        if (detail.type === "session.started") resolve();
      });
      call.addEventListener("ended", ({ detail }) => reject(detail));
      setTimeout(() => reject(new CallProblem("no-media")), PATH_MS);
      call.start(stream);
    });
    return performance.now() - begun;
  } finally {
    call.hangUp();
    capture?.then((opened) => opened.close(), () => {});
  }
}

async function relayConfigured() {
  try {
    const { ice_servers } = await (await fetch("api/config")).json();
    return ice_servers.flatMap(({ urls }) => urls).some((url) => /^turns?:/.test(url));
  } catch {
    throw new CallProblem("unreachable");
  }
}

async function withMicrophone(context, constraints, use) {
  const stream = await openMicrophone(constraints);
  let capture = null;
  try {
    capture = await Capture.open(context, stream);
    return await use(capture);
  } finally {
    capture?.close();
    closeMicrophone(stream);
  }
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
