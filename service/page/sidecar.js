// The page of a sidecar: how far behind the centre it is. Verdicts are at the centre.

import { Problem, key, read } from "./api.js";
import { draw, h } from "./dom.js";
import { NONE, count, duration } from "./format.js";
import { facts, name } from "./parts.js";

const EVERY_MS = 5_000;
const notes = document.getElementById("notes");
const main = document.getElementById("main");

async function refresh() {
  try {
    const sidecar = await read(["page", "sidecar"]);
    draw(notes, ...warnings(sidecar));
    draw(main, ...standing(sidecar));
  } catch (error) {
    draw(notes, h("p", { class: "note bad", role: "alert" }, `The sidecar says nothing: ${error.message}.`));
    if (error instanceof Problem && (error.status === 401 || error.status === 403)) {
      draw(main, keyForm());
    }
  }
  setTimeout(refresh, EVERY_MS);
}

function warnings(sidecar) {
  const said = [];
  if (sidecar.up === false) {
    said.push("The centre did not answer when it was last asked. Rows that were acknowledged on receipt wait; others are refused.");
  }
  if (sidecar.dropped_rows > 0) {
    said.push(`${count(sidecar.dropped_rows)} rows that were acknowledged on receipt were lost.`);
  }
  return said.map((text) => h("p", { class: "note bad", role: "alert" }, text));
}

function standing(sidecar) {
  const waits = sidecar.pending_rows > 0 ? `, the oldest for ${duration(1_000 * sidecar.oldest_pending_seconds)}` : "";
  return [
    h("h1", null, "Rows in, counts out"),
    facts([
      ["Centre", name(sidecar.centre), { "data-fact": "centre" }],
      ["It answers", sidecar.up === null ? "not asked yet" : sidecar.up ? "yes" : "no", { "data-fact": "up" }],
      ["Rows that wait", `${count(sidecar.pending_rows)}${waits}`, { "data-fact": "pending" }],
      ["Rows lost", count(sidecar.dropped_rows), { "data-fact": "dropped" }],
      ["Last taken by the centre", sidecar.last_sent ?? NONE, { "data-fact": "sent" }],
      ["Release", sidecar.version, null],
    ]),
    h("h2", null, "Models that are in use here"),
    sidecar.models.length === 0 ? h("p", { class: "quiet" }, "None yet: a model is fetched when its first rows come.") : null,
    h("ul", null, sidecar.models.map(modelOf)),
    h("p", { class: "quiet" }, "Verdicts, alerts and metrics of drift are at the centre."),
  ];
}

function modelOf(model) {
  const versions = model.versions.map((version) =>
    h("li", null, name(version.version), version.reference_id === null ? " learns" : [" counts by ", h("code", null, version.reference_id)]),
  );
  return h("li", { "data-model": model.model, "data-key": model.model }, name(model.model), h("ul", null, versions));
}

function keyForm() {
  const field = h("input", { type: "password", name: "key", autocomplete: "off", "aria-label": "API key" });
  const form = h("form", null, field, h("button", null, "Use this key"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    key.set(field.value.trim());
    location.reload();
  });
  return form;
}

refresh();
