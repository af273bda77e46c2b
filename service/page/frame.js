// What is around every view: the head with the freshness of what is shown, the notes above it, the question for a key.

import { Problem, clock, key } from "./api.js";
import { h } from "./dom.js";
import { duration } from "./format.js";
import { link } from "./parts.js";

/** `seen` is `{ at, every, paused, failure, failedSince, loading }`, times in milliseconds. */
export function head(seen, service) {
  return [
    h("p", { class: "brand" }, link({}, "Driftline")),
    h("p", { class: isStale(seen) ? "fresh stale" : "fresh", "data-fresh": isStale(seen) ? "stale" : "fresh" }, freshness(seen)),
    h(
      "p",
      { class: "tools" },
      h("button", { type: "button", "data-pause": true, "aria-pressed": String(seen.paused) }, seen.paused ? "Resume" : "Pause"),
      key.get() === null ? null : h("button", { type: "button", "data-forget": true }, "Forget the key"),
      service === null ? null : h("span", { class: "quiet" }, `version ${service.version}`),
    ),
  ];
}

/** Whether what is shown is older than it should be. */
export function isStale(seen) {
  return seen.at !== null && (seen.failure !== null || clock.now() - seen.at > 3 * seen.every);
}

function freshness(seen) {
  if (seen.at === null) {
    return "Nothing read yet";
  }
  const ago = `Read ${duration(Math.max(0, clock.now() - seen.at))} ago`;
  return seen.paused ? `${ago}, paused` : `${ago}, again every ${duration(seen.every)}`;
}

/** What has to be said above the view. */
export function notes(seen, notReady, renewed, told) {
  return [
    seen.failure === null ? null : [note("bad", failureText(seen.failure)), note("since", sinceText(seen))],
    notReady === null ? null : note("bad", `The service says: ${notReady}. Rows may be refused until that ends.`),
    renewed ? note("info", "The service was updated; reload the page to get the one that belongs to it.") : null,
    told === null ? null : note("info", told),
  ];
}

function failureText(failure) {
  if (failure instanceof Problem) {
    return `The service answers with an error: ${failure.status}, ${failure.message}.`;
  }
  return `The service cannot be reached: ${failure.message}.`;
}

// Apart from the text above, which is read aloud: this one changes every second.
function sinceText({ failedSince, at }) {
  const since = `Since ${duration(Math.max(0, clock.now() - failedSince))}.`;
  return at === null ? since : `${since} What is shown below was read ${duration(Math.max(0, clock.now() - at))} ago.`;
}

function note(kind, text) {
  const role = { bad: "alert", info: "status" }[kind];
  return h("p", { class: `note ${kind}`, role }, text);
}

/** Ask for a key: there is none, or it is not known. */
export function keyForm(isWrong) {
  return h(
    "form",
    { class: "ask", "data-form": "key", "data-key": "key form" },
    h("h1", null, isWrong ? "This key is not known" : "An API key is needed"),
    h("p", null, "It needs scope ", h("code", null, "read"), ", and ", h("code", null, "admin"), " to send dead letters again."),
    h("label", { for: "key" }, "API key"),
    h("input", { id: "key", type: "password", autocomplete: "off", spellcheck: "false", required: true, "data-key": "key" }),
    h("button", null, "Use this key"),
    h("p", { class: "quiet" }, "It is kept in this browser tab only, and forgotten when the tab is closed."),
  );
}

/** The key is known, and does not open this. */
export function forbidden(problem, route) {
  return [
    h("h1", null, "This key may not read that"),
    h("p", { "data-status": 403 }, `The service says: ${problem.message}.`),
    route.model === undefined ? modelForm() : null,
    h("p", null, h("button", { type: "button", "data-forget": true }, "Use another key")),
  ];
}

function modelForm() {
  return h(
    "form",
    { class: "ask", "data-form": "model", "data-key": "model form" },
    h("p", null, "A key that is bound to models may not list them all. Open one by its name:"),
    h("label", { for: "model" }, "Model"),
    h("input", { id: "model", name: "model", autocomplete: "off", spellcheck: "false", required: true, "data-key": "model" }),
    h("button", null, "Open"),
  );
}

/** There is nothing of that name. */
export function missing(problem) {
  return [
    h("h1", null, "Not found"),
    h("p", { "data-status": 404 }, `The service says: ${problem.message}.`),
    h("p", null, link({}, "All models")),
  ];
}
