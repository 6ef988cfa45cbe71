// What can keep a call from happening, in words for the person who wanted to call.

/** A reason why there is no call (any more). `message` is the server's own explanation, if any. */
export class CallProblem extends Error {
  constructor(code, message = "") {
    super(message || code);
    this.code = code;
    this.said = message;
  }
}

const WORDS = {
  "insecure": ["This page may not use the microphone",
    "Browsers give the microphone only to pages on https or on localhost. " +
    "Open this address with https:// and call from there."],
  "no-way": ["This browser cannot make the call",
    "It has neither WebRTC nor AudioWorklets, or they are switched off. A current Firefox, " +
    "Chrome, Edge or Safari will do."],
  "mic-denied": ["The microphone is blocked",
    "Allow it for this page, by the icon beside the address or in your system’s privacy " +
    "settings, then call again."],
  "mic-absent": ["No microphone was found", "Plug one in or switch one on, then call again."],
  "mic-busy": ["The microphone cannot be opened",
    "Another program may be holding it. Close that program, then call again."],
  "unreachable": ["Vaani cannot be reached",
    "The server does not answer. Check your connection, then call again."],
  "busy": ["Vaani cannot take the call just now", "Please call again in a moment."],
  "no-media": ["The sound does not get through",
    "The server answered, but your network lets no call through to it. " +
    "Another network, or one without a VPN, may."],
  "not-offered": ["The server does not offer this way", "Call again without asking for it."],
  "dropped": ["The call dropped", "The connection was lost. You can call again at once."],
  "closed": ["Vaani ended the call", "You can call again at once."],
  "refused": ["The call was refused", "Please call again in a moment."],
};

/** A problem as `{title, advice}`; the server's own words win over ours. */
export function describe(problem) {
  const [title, advice] = WORDS[problem.code] ?? WORDS.refused;
  return { title, advice: problem.said || advice };
}
