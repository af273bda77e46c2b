// Parts that several views share: names, verdicts, tables that become cards on a narrow screen, links within the page.

import { h } from "./dom.js";
import { isolated, visible } from "./format.js";
import { CALIBRATIONS, reasonName, VERDICTS } from "./words.js";

const SHAPES = {
  drifted: ["path", { d: "M6 .5 11.5 11H.5Z" }],
  stable: ["circle", { cx: 6, cy: 6, r: 5 }],
  undecided: ["circle", { cx: 6, cy: 6, r: 4.2, class: "hollow" }],
  learning: ["path", { d: "M1 11h2.5V7H1Zm3.7 0h2.6V4H4.7Zm3.8 0H11V1H8.5Z" }],
};

/** A name that somebody else has chosen. */
export function name(text, attributes = {}) {
  return h("bdi", { class: "name", ...attributes }, visible(text));
}

/** A verdict: a shape, its word and, for what is undecided, the reason. */
export function verdict(word, reason = null, attributes = {}) {
  const [tag, shape] = SHAPES[word] ?? SHAPES.undecided;
  return h(
    "span",
    { class: `verdict ${word}`, "data-verdict": word, "data-tip": VERDICTS[word] ?? null, ...attributes },
    h("svg", { viewBox: "0 0 12 12", width: 12, height: 12, "aria-hidden": "true" }, h(tag, shape)),
    h("span", null, word, reason ? h("span", { class: "why" }, ` (${reasonName(reason)})`) : null),
  );
}

/** How far a verdict is to be trusted: it stands beside every one. Of silence there is nothing to trust. */
export function calibrationMark({ calibration: status, calibration_advice: advice, reason }) {
  if (reason === "silent") {
    return null;
  }
  const tip = [CALIBRATIONS[status] ?? "", advice ? `To make it better: ${advice}.` : ""].join(" ").trim();
  return h("span", { class: "calibration", "data-calibration": status, "data-tip": tip }, status);
}

export function provisionalMark() {
  return h(
    "span",
    { class: "provisional", "data-tip": "The window is still open: its numbers will change, and it never raises an alert." },
    "provisional",
  );
}

/** A link to another state of this page. */
export function link(route, content, attributes = {}) {
  return h("a", { href: address(route), "data-route": true, ...attributes }, content);
}

/** Address of a state of the page, relative to where it is. */
export function address(route) {
  const query = new URLSearchParams(Object.entries(route).filter(([, value]) => value !== null && value !== undefined));
  return `?${query}`;
}

/**
 * A table; on a narrow screen each row becomes a card, in which the cells carry their column's label. The roles are said
 * because a browser drops them with `display: block`.
 *
 * `columns` are `{ label, tip, sort, class }`, `rows` are `{ key, cells, attributes, below }`.
 */
export function table(caption, columns, rows, sorted = null) {
  const heads = columns.map((column) => {
    const isSorted = sorted !== null && column.sort === sorted;
    const attributes = { role: "columnheader", scope: "col", class: column.class, "aria-sort": isSorted ? "other" : null };
    return h("th", attributes, heading(column, isSorted));
  });
  return h(
    "table",
    { role: "table", class: "cards", "aria-label": caption },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)),
    h("tbody", { role: "rowgroup" }, rows.map((row) => rowOf(row, columns))),
  );
}

function heading(column, isSorted) {
  if (column.sort === undefined) {
    return h("span", { "data-tip": column.tip }, column.label);
  }
  const attributes = { type: "button", "data-sort": column.sort, "data-tip": column.tip, "aria-pressed": String(isSorted) };
  return h("button", attributes, column.label, isSorted ? h("span", { "aria-hidden": "true" }, " \u25be") : null);
}

function rowOf({ key, cells, attributes = {}, below = null }, columns) {
  const made = cells.map((cell, index) => {
    const { label, class: kind } = columns[index];
    if (index === 0) {
      return h("th", { role: "rowheader", scope: "row", class: kind }, cell);
    }
    return h("td", { role: "cell", class: kind, "data-label": label }, h("div", null, cell));
  });
  const row = h("tr", { role: "row", "data-key": key, ...attributes }, made);
  if (below === null) {
    return row;
  }
  const cell = h("td", { role: "cell", colspan: columns.length }, below);
  return [row, h("tr", { role: "row", class: "below", "data-key": `${key} below` }, cell)];
}

/** A progress bar, its numbers beside it. */
export function progress(done, wanted, text) {
  return h("span", { class: "learned" }, h("progress", { max: wanted, value: Math.min(done, wanted), "aria-label": text }), text);
}

/** Pairs of a term and what it is; those without a value are left out. */
export function facts(pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs
      .filter(([, value]) => value !== null)
      .map(([term, value, attributes]) => h("div", attributes, h("dt", null, term), h("dd", null, value))),
  );
}

/** Names in a sentence, for a plain text. */
export function listed(names, total) {
  const more = total - names.length;
  return names.map(isolated).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
