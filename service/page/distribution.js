// The distribution of one column: a pair of bars a group, the reference outlined, the window filled; the shares as numbers too.

import { Problem } from "./api.js";
import { h } from "./dom.js";
import { count, counted, percent } from "./format.js";
import { name } from "./parts.js";

/** `shares` is the answer of `/columns/{column}`, a Problem, or null while it is on its way. */
export function distribution(shares, service) {
  if (shares === null) {
    return h("p", { class: "quiet" }, "Loading its distribution\u2026");
  }
  if (shares instanceof Problem) {
    return h("p", { class: "quiet" }, `Its distribution cannot be shown: ${shares.message}.`);
  }
  const hidden = shares.groups.every((group) => group.current === null);
  const most = Math.max(...shares.groups.flatMap((group) => [group.reference ?? 0, group.current ?? 0]), 1e-9);
  return h(
    "figure",
    { class: "distribution", "data-distribution": shares.column },
    h(
      "figcaption",
      null,
      h("span", { class: "swatch reference", "aria-hidden": "true" }),
      `reference, ${counted(shares.reference_rows, "row")} `,
      h("span", { class: "swatch current", "aria-hidden": "true" }),
      `this window, ${counted(shares.rows, "row")}`,
    ),
    hidden ? h("p", { class: "hidden-shares" }, hiddenText(shares, service)) : null,
    h(
      "table",
      { role: "table", "aria-label": "Shares by group" },
      h("colgroup", null, ["group", "bars", "share", "share"].map((kind) => h("col", { class: kind }))),
      heads(),
      h("tbody", { role: "rowgroup" }, shares.groups.map((group) => row(group, most))),
    ),
  );
}

function heads() {
  const labels = ["Group", "Bars", "Reference", "Window"];
  const cells = labels.map((label) => h("th", { role: "columnheader", scope: "col" }, label));
  return h("thead", { class: "unseen", role: "rowgroup" }, h("tr", { role: "row" }, cells));
}

function row(group, most) {
  return h(
    "tr",
    { role: "row" },
    h("th", { role: "rowheader", scope: "row" }, name(group.group)),
    h("td", { role: "cell", class: "bars" }, bars(group, most)),
    h("td", { role: "cell", class: "number reference" }, percent(group.reference)),
    h("td", { role: "cell", class: "number current" }, percent(group.current)),
  );
}

function bars({ reference, current }, most) {
  const width = (share) => `${(99 * share) / most}%`;
  const bar = (share, y, kind) => share && h("rect", { class: kind, x: 1, y, width: width(share), height: 7, rx: 1 });
  return h(
    "svg",
    { class: "bars", width: "100%", height: 20, "aria-hidden": "true", focusable: "false" },
    bar(reference, 2, "reference") || null,
    bar(current, 11, "current") || null,
  );
}

function hiddenText(shares, service) {
  if (shares.rows === 0) {
    return "No row of this column came in this window.";
  }
  const least = service === null ? "so few" : `fewer than ${count(service.rows_exposed_min)}`;
  return `The window's shares are not shown: counts of ${least} rows would say much about each of them.`;
}
