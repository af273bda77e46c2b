// The columns of one window, those that matter most first.

import { h } from "./dom.js";
import { counted, number, percent, pvalue } from "./format.js";
import { distribution } from "./distribution.js";
import { facts, name, table, verdict } from "./parts.js";
import { ranked } from "./standing.js";
import { COLUMNS, EVIDENCE, reasonSentence } from "./words.js";

const SHOWN = 100;
const FILTERED_FROM = 12; // fewer are seen at a glance
const ARROWS = { up: "\u2191 up", down: "\u2193 down" };

/** The table; `look` says what the reader has asked for: `{ sort, filter, all, column }`. */
export function columnTable(evaluation, look, shares, service) {
  const columns = ranked(evaluation.columns, look.sort);
  if (columns.length === 0) {
    return h("p", { class: "quiet" }, "No column was evaluated in this window. ", reasonSentence(evaluation.reason));
  }
  const wanted = look.filter.toLowerCase();
  const found = columns.filter((column) => column.name.toLowerCase().includes(wanted));
  const shown = look.all ? found : found.slice(0, SHOWN);
  const heads = [
    { label: "Column", sort: "name" },
    { label: "Verdict", sort: "verdict", tip: "Drifted first, then undecided, then stable." },
    { label: "PSI", sort: "psi", tip: COLUMNS.psi, class: "number" },
    { label: "KS", sort: "ks", tip: COLUMNS.ks, class: "number" },
    { label: "p-value", sort: "pvalue", tip: COLUMNS.pvalue, class: "number" },
    { label: "Effect", sort: "effect", tip: COLUMNS.effect, class: "number" },
    { label: "Missing", sort: "missing", tip: COLUMNS.missing, class: "number" },
    { label: "Moved most", tip: COLUMNS.moved, class: "moved" },
  ];
  const rows = shown.map((column) => rowFor(column, look.column === column.name, shares, service));
  return [
    columns.length >= FILTERED_FROM ? filter(columns.length) : null,
    h("div", { class: "columns" }, table("Columns", heads, rows, look.sort)),
    found.length === 0 ? h("p", { class: "quiet" }, "No column has this in its name.") : null,
    shown.length < found.length
      ? h("button", { type: "button", "data-all": true }, `Show all ${counted(found.length, "column")}`)
      : null,
  ];
}

function filter(total) {
  const attributes = { type: "search", "data-filter": true, "data-key": "filter", autocomplete: "off", spellcheck: "false" };
  return h("label", { class: "filter" }, `Find among ${counted(total, "column")} `, h("input", attributes));
}

function rowFor(column, isOpen, shares, service) {
  const opener = h(
    "button",
    { type: "button", class: "opener", "data-open": column.name, "aria-expanded": String(isOpen) },
    name(column.name),
  );
  return {
    key: `column ${column.name}`,
    attributes: { "data-column": column.name, "data-state": column.verdict, class: isOpen ? "chosen" : null },
    cells: [
      [opener, h("span", { class: "quiet" }, `${column.role}, ${column.kind}`)],
      [verdict(column.verdict, column.reason), h("p", { class: "quiet" }, whyOf(column))],
      number(column.statistics.psi),
      h("span", { "data-tip": ksText(column) }, number(column.statistics.ks)),
      h("span", { "data-tip": `Threshold ${pvalue(column.pvalue_threshold)}` }, pvalue(column.pvalue)),
      h("span", { "data-tip": `Threshold ${number(column.effect_threshold)}` }, number(column.effect)),
      percent(column.missing_ratio),
      [moved(column, service), column.direction ? h("p", { class: "quiet" }, ARROWS[column.direction]) : null],
    ],
    below: isOpen ? h("div", { class: "expanded" }, distribution(shares, service), details(column)) : null,
  };
}

function whyOf(column) {
  if (column.error !== null) {
    return column.error;
  }
  if (column.verdict === "drifted") {
    return column.evidence === "omnibus" ? "" : (EVIDENCE[column.evidence] ?? "");
  }
  const rows = `${counted(column.rows, "row")}`;
  return column.verdict === "undecided" ? rows : "";
}

function ksText(column) {
  const { ks, ks_upper: upper } = column.statistics;
  return ks === null || ks === upper ? null : `Between ${number(ks)} and ${number(upper)}`;
}

function moved(column, service) {
  if (service !== null && column.rows < service.rows_exposed_min) {
    return h("span", { class: "quiet" }, "too few rows to be shown");
  }
  const most = column.moved[0];
  return most === undefined ? number(null) : [name(most.bin), `: ${percent(most.reference)} \u2192 ${percent(most.current)}`];
}

function details(column) {
  const shift = column.smallest_detectable_shift;
  const some = (values, format) =>
    Object.entries(values)
      .filter(([, value]) => value !== null)
      .map(([what, value]) => [what.replaceAll("_", " "), format(value)]);
  return h(
    "div",
    { class: "details" },
    column.verdict === "undecided" && column.reason ? h("p", null, reasonSentence(column.reason)) : null,
    column.evidence ? h("p", null, "What decided: ", EVIDENCE[column.evidence] ?? column.evidence, ".") : null,
    shift === null ? null : h("p", null, `With so many rows, shifts from ${number(shift)} standard deviations can be seen.`),
    h("h4", null, "p-values by what was tested"),
    facts([...some(column.pvalues, pvalue), ["threshold", pvalue(column.pvalue_threshold)]]),
    h("h4", null, "Statistics"),
    facts(some(column.statistics, number)),
    h("h4", null, "Shares of its values"),
    facts(
      [
        ["missing", column.missing_ratio],
        ["wrong type", column.invalid_ratio],
        ["new categories", column.unseen_ratio],
        ["out of the reference's range", column.out_of_range_ratio],
      ].map(([what, ratio]) => [what, ratio === null ? null : percent(ratio)]),
    ),
  );
}
