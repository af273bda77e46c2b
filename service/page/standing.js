// How a version stands, from its latest evaluations. Pure.

/**
 * What the newest closed base window said, as the alarm takes it: drifted if any scale says so, else stable if any does, else
 * undecided. Views have no say, and provisional looks have none either.
 *
 * Returns `{ verdict, reason, base, decisive, open }`, or null where nothing was evaluated yet.
 */
export function standing(evaluations) {
  const scaled = evaluations.filter((evaluation) => evaluation.scale !== null);
  const closed = scaled.filter((evaluation) => !evaluation.provisional);
  const open = scaled.find((evaluation) => evaluation.provisional) ?? null;
  if (closed.length === 0) {
    return open === null ? null : { verdict: open.verdict, reason: open.reason, base: open, decisive: [open], open };
  }
  const end = closed.map((evaluation) => evaluation.window.end).reduce((one, other) => (one > other ? one : other));
  const decisive = closed.filter((evaluation) => evaluation.window.end === end).sort((one, other) => one.scale - other.scale);
  const verdicts = decisive.map((evaluation) => evaluation.verdict);
  const verdict = ["drifted", "stable"].find((word) => verdicts.includes(word)) ?? "undecided";
  const reason = verdict === "undecided" ? decisive[0].reason : null;
  return { verdict, reason, base: decisive[0], decisive, open };
}

/** Windows of one size in the order of time, each as it was last evaluated. */
export function history(evaluations, size) {
  const latest = new Map();
  for (const evaluation of evaluations) {
    // A record of silence grows at its end until rows come again.
    const { start, end } = evaluation.window;
    const at = evaluation.reason === "silent" ? `silent ${start}` : end;
    const known = latest.get(at);
    if (evaluation.window.size === size && (!known || isNewer(evaluation, known))) {
      latest.set(at, evaluation);
    }
  }
  return [...latest.values()].sort((one, other) => (one.window.end < other.window.end ? -1 : 1));
}

function isNewer(one, other) {
  return one.revision !== other.revision ? one.revision > other.revision : one.window.end > other.window.end;
}

/** Columns in the order of what matters: drifted before undecided before stable, each by the strength of the evidence. */
export function ranked(columns, by) {
  const order = { drifted: 0, undecided: 1, stable: 2 };
  const least = (one, other) => compare(one.pvalue ?? 2, other.pvalue ?? 2) || compare(other.effect ?? -1, one.effect ?? -1);
  const matters = (one, other) => compare(order[one.verdict], order[other.verdict]) || least(one, other);
  const largest = (value) => (one, other) => compare(value(other) ?? -Infinity, value(one) ?? -Infinity) || matters(one, other);
  const orders = {
    verdict: matters,
    name: (one, other) => compare(one.name, other.name),
    psi: largest((column) => column.statistics.psi),
    ks: largest((column) => column.statistics.ks),
    pvalue: least,
    effect: largest((column) => column.effect),
    missing: largest((column) => column.missing_ratio),
  };
  const all = Object.entries(columns).map(([name, column]) => ({ name, ...column }));
  return all.sort((one, other) => orders[by](one, other) || compare(one.name, other.name));
}

function compare(one, other) {
  return one < other ? -1 : one > other ? 1 : 0;
}
