// The caller's microphone, or the reason why there is none.

import { possibleKinds } from "./line.js";
import { CallProblem } from "./problems.js";

// Without echo cancellation Vaani would hear itself and interrupt itself.
const CONSTRAINTS = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

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
  if (!possibleKinds().length) return new CallProblem("no-way");
  return null;
}

/** A MediaStream of the microphone; `audio` are constraints. Throws CallProblem. */
export async function openMicrophone(audio = CONSTRAINTS) {
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    throw new CallProblem(PROBLEMS[error.name] ?? "mic-busy");
  }
}

/** Gives the microphone back; null is fine. */
export function closeMicrophone(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
