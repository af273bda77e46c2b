// What was sent to whom, and what became of it.

import { clock } from "./api.js";
import { h } from "./dom.js";
import { age } from "./format.js";
import { name, table } from "./parts.js";
import { DELIVERIES } from "./words.js";

/** Deliveries as a table; each may be given as `{ kind, target, at, known }` where the delivery itself is not at hand. */
export function deliveryTable(deliveries, service, withModel) {
  const columns = [
    { label: "Notice" },
    withModel ? { label: "Model" } : null,
    { label: "Target" },
    { label: "State" },
    { label: "Attempts", class: "number" },
    { label: "Last answer" },
    { label: "Made" },
  ].filter(Boolean);
  const rows = deliveries.map((delivery) => ({
    key: delivery.id,
    attributes: { "data-delivery": delivery.id, "data-state": delivery.state },
    cells: [
      h("code", null, delivery.kind),
      withModel ? name(delivery.model) : null,
      name(delivery.target),
      state(delivery, service),
      String(delivery.attempts),
      delivery.last || h("span", { class: "quiet" }, "none yet"),
      h("time", { datetime: delivery.created_at, "data-tip": delivery.created_at }, age(delivery.created_at, clock.now())),
    ].filter((cell) => cell !== null),
  }));
  return table("Deliveries", columns, rows);
}

function state(delivery, service) {
  const word = h("span", { class: `delivery ${delivery.state}` }, DELIVERIES[delivery.state] ?? delivery.state);
  if (delivery.state === "pending" && delivery.next_attempt_at !== null) {
    return [word, h("p", { class: "quiet" }, "next attempt ", h("time", { datetime: delivery.next_attempt_at }, soon(delivery)))];
  }
  if (delivery.state !== "dead") {
    return word;
  }
  if (service?.access.admin !== "ok") {
    return [word, h("p", { class: "quiet" }, "A key with scope admin can send it again.")];
  }
  return [word, " ", h("button", { type: "button", "data-retry": delivery.id }, "Send again")];
}

function soon(delivery) {
  const ms = Date.parse(delivery.next_attempt_at) - clock.now();
  return ms < 1_000 ? "now" : `in ${Math.ceil(ms / 1_000)} s`;
}
