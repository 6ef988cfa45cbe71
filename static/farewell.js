// Before the server ends a session it says so, and mostly, in an error just before, why.

import { CallProblem } from "./problems.js";

export class Farewell {
  /** Why the server ended the session; null while it has not. */
  problem = null;
  #reason = "";

  hear({ type, state, message }) {
    if (type === "error") this.#reason = message;
    else if (type === "state" && state === "closed") {
      this.problem = new CallProblem("closed", this.#reason);
    } else if (type === "state") this.#reason = "";
  }
}
