// What a client has to know of its session to ask for it again on another transport.

export class SessionTicket {
  /** Seconds for which the server keeps a session that lost its transport. */
  window = 30;
  #id = null;
  #token = null;
  #last = 0;             // of the events that came without a hole, the last
  #ahead = new Set();    // numbers of events that came beyond a hole

  /** The first event on a transport. */
  take({ session_id, resume_token, resume_window }) {
    this.#id = session_id;
    this.#token = resume_token;
    this.window = resume_window ?? this.window;
  }

  /** Whether an event was not seen before: on a new transport some come again. */
  isNew({ seq }) {
    if (seq === undefined) return true;
    if (seq <= this.#last || this.#ahead.has(seq)) return false;
    this.#ahead.add(seq);
    while (this.#ahead.delete(this.#last + 1)) this.#last++;
    return true;
  }

  /** What the server is asked to resume; `played` as docs/protocol.md says. */
  resume(played) {
    return { session_id: this.#id, resume_token: this.#token, seq: this.#last, played };
  }
}
