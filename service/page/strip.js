// The last windows of one size as a strip: a bar a window, by verdict. Height, fill and word say what the colour says.

import { h } from "./dom.js";
import { count, counted, span } from "./format.js";
import { listed } from "./parts.js";
import { reasonName } from "./words.js";

const WORDS = ["drifted", "stable", "undecided", "silent"];

/** Kind of a window: its verdict, with silence apart. */
export function kindOf(evaluation) {
  return evaluation.reason === "silent" || evaluation.reason === "no_rows" ? "silent" : evaluation.verdict;
}

/** What one window said, as a text. */
export function windowText(evaluation, zone) {
  const parts = [`${span(evaluation.window, zone)}: ${evaluation.verdict}`];
  if (evaluation.provisional) {
    parts[0] += " so far (provisional)";
  }
  if (evaluation.reason !== null) {
    parts.push(reasonName(evaluation.reason));
  }
  if (evaluation.columns_drifted > 0) {
    const names = listed(evaluation.columns_strongest, evaluation.columns_drifted);
    parts.push(`${evaluation.columns_drifted} of ${counted(evaluation.columns_evaluated, "column")}: ${names}`);
  }
  parts.push(counted(evaluation.rows, "row"));
  if (evaluation.late_rows > 0) {
    parts.push(`${count(evaluation.late_rows)} of them late`);
  }
  if (evaluation.revision > 1) {
    parts.push(`revision ${evaluation.revision}`);
  }
  return parts.join(", ");
}

/** How many windows were which, as a text. */
export function summaryText(windows) {
  const closed = windows.filter((evaluation) => !evaluation.provisional);
  const kinds = closed.map(kindOf);
  const parts = WORDS.map((word) => [kinds.filter((kind) => kind === word).length, word]).filter(([n]) => n > 0);
  return `${counted(closed.length, "window")}: ${parts.map(([n, word]) => `${n} ${word}`).join(", ") || "none"}`;
}

/** A strip that can be walked through with the arrow keys; one stop of the tab key. */
export function strip(windows, zone, chosen) {
  const cells = windows.map((evaluation) => {
    const isChosen = evaluation === chosen;
    const text = windowText(evaluation, zone);
    return h(
      "button",
      {
        type: "button",
        class: `cell ${kindOf(evaluation)}${evaluation.provisional ? " open" : ""}`,
        tabindex: isChosen ? 0 : -1,
        "aria-current": isChosen ? "true" : null,
        "aria-label": text,
        "data-tip": text,
        "data-at": evaluation.provisional ? "open" : evaluation.window.end,
        "data-key": evaluation.provisional ? "open" : evaluation.window.end,
        "data-verdict": evaluation.verdict,
      },
      h("span"),
    );
  });
  return h("div", { class: "strip", role: "group", "aria-label": "Windows, the newest last; arrow keys move" }, cells);
}

/** The same for a glance, without keys. */
export function smallStrip(windows) {
  const cells = windows.map((evaluation) =>
    h("i", { class: `cell ${kindOf(evaluation)}${evaluation.provisional ? " open" : ""}` }, h("span")),
  );
  return h("span", { class: "strip small", role: "img", "aria-label": summaryText(windows) }, cells);
}

export function legend() {
  const entries = [...WORDS.map((word) => [word, word]), ["undecided open", "provisional"]];
  return h(
    "p",
    { class: "legend", "aria-hidden": "true" },
    entries.map(([kind, word]) => h("span", null, h("i", { class: `cell ${kind}` }, h("span")), word)),
  );
}
