// How the active reference compares with the one before it.

import { Problem, read } from "./api.js";
import { h } from "./dom.js";
import { count, counted, number, percent } from "./format.js";
import { name, table } from "./parts.js";
import { COLUMNS } from "./words.js";

const SHOWN = 20;

const known = new Map(); // references do not change

/** The comparison of a version's reference with the one before it; null if there is none. */
export async function comparisonOf(path, version) {
  const { reference_id: after, previous_reference_id: before } = version;
  if (after === null || before === null || after === before) {
    return null;
  }
  const key = `${before} ${after}`;
  if (!known.has(key)) {
    known.clear(); // one is looked at at a time
    try {
      const { comparison } = await read([...path, "references", after], { compare_with: before });
      known.set(key, comparison);
    } catch (error) {
      if (error instanceof Problem && error.status !== 401) {
        return null; // it may have been deleted
      }
      throw error;
    }
  }
  return known.get(key);
}

export function comparisonSection(comparison) {
  if (comparison === null) {
    return null;
  }
  const { columns, added, removed, kinds, rows_before: before, rows_after: after } = comparison;
  const shown = columns.slice(0, SHOWN);
  return h(
    "details",
    { class: "comparison", "data-key": "comparison" },
    h("summary", null, "How the reference compares with the one before it"),
    h("p", { class: "quiet" }, `${counted(before, "row")} before, ${count(after)} now. Distances are right to about a bin.`),
    list("New", added.map((one) => name(one))),
    list("Gone", removed.map((one) => name(one))),
    list("Of another kind", kinds.map((one) => [name(one.name), ` (${one.before} before, ${one.after} now)`])),
    shown.length ? table("Columns of the two references", HEADS, shown.map(rowFor)) : null,
    columns.length > SHOWN ? h("p", { class: "quiet" }, `${count(columns.length - SHOWN)} more changed less.`) : null,
  );
}

const HEADS = [
  { label: "Column" },
  { label: "PSI", tip: COLUMNS.psi, class: "number" },
  { label: "KS", tip: COLUMNS.ks, class: "number" },
  { label: "Missing before", class: "number" },
  { label: "Missing now", class: "number" },
];

function rowFor(column) {
  return {
    key: column.name,
    attributes: { "data-compared": column.name },
    cells: [
      name(column.name),
      number(column.psi),
      number(column.ks),
      percent(column.missing_before),
      percent(column.missing_after),
    ],
  };
}

function list(label, items) {
  return items.length ? h("p", null, h("b", null, `${label}: `), items.map((one, index) => [index ? ", " : "", one])) : null;
}
