// The caller's microphone, or the reason why there is none.

import { CallProblem } from "./problems.js";

// Without echo cancellation Vaani would hear itself and interrupt itself.
const CONSTRAINTS = {
  audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
};

const PROBLEMS = {
  NotAllowedError: "mic-denied",
  SecurityError: "mic-denied",
  NotFoundError: "mic-absent",
  OverconstrainedError: "mic-absent",
  NotReadableError: "mic-busy",
  AbortError: "mic-busy",
};

/** The problem that makes a call from this page impossible, known before anyone calls; or null. */
export function obstacle() {
  if (!navigator.mediaDevices?.getUserMedia) return new CallProblem("insecure");
  if (!window.RTCPeerConnection) return new CallProblem("no-webrtc");
  return null;
}

/** A MediaStream of the microphone. Throws CallProblem. */
export async function openMicrophone() {
  try {
    return await navigator.mediaDevices.getUserMedia(CONSTRAINTS);
  } catch (error) {
    throw new CallProblem(PROBLEMS[error.name] ?? "mic-busy");
  }
}
