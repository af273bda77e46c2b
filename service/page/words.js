// What the service's words mean, in a sentence each. The lists are those of `driftline.evaluation/1`.

export const VERDICTS = {
  drifted: "At least one column differs from the reference by more than chance and by enough to matter.",
  stable: "Columns were tested, and none of them differs from the reference by more than chance and enough to matter.",
  undecided: "Nothing can be said, which is not the same as stable; the reason is given beside it.",
};

export const REASONS = {
  no_rows: ["no rows", "No row held this; no rows is not the same as no drift."],
  too_few_rows: ["too few rows", "Fewer rows than the policy asks for, or too few for the rarest groups of the reference."],
  few_reference_rows: ["reference too small", "The reference itself has too few rows to compare with."],
  empty_reference: ["reference empty", "The reference never had a value here, so there is nothing to compare with."],
  constant_reference: [
    "reference constant",
    "The reference has one value and the window has no other: there is no spread to compare.",
  ],
  error: ["error", "It could not be evaluated; the error stands with the column."],
  short_reference: [
    "reference short",
    "The reference has too few windows as long as this one to know how much they differ when nothing is wrong.",
  ],
  varied: [
    "too varied",
    "Windows of the reference differ so much that a shift of half a standard deviation would not show in this one.",
  ],
  silent: ["silent", "No row came in this stretch of time: silence is reported, not taken for stability."],
  refilling: [
    "refilling",
    "Part of the window lies before the reference was active or before the first rows; it decides once it has refilled.",
  ],
};

export const CALIBRATIONS = {
  verified: "The rate of false alarms was checked by replaying the reference: alarms keep to the budget.",
  calibrated: "Tests were calibrated to how much windows of the reference differ; the rate of false alarms is not verified.",
  iid: "P-values take rows for independent; on seasonal or dependent traffic drift is reported too often.",
  collecting: "The reference was learned from traffic and knows nothing yet of how much windows differ when all is well.",
};

export const EVIDENCE = {
  omnibus: "the values moved",
  location: "where the values lie",
  scale: "how far the values spread",
  shape: "the shape of the distribution",
  categories: "the shares of the categories",
  missing: "the share of missing values changed",
  invalid: "the share of values of the wrong type changed",
  unseen: "categories came that the reference never had",
};

export const RESOLUTIONS = {
  stable: "enough stable windows in a row",
  reference_changed: "another reference became active",
  by_hand: "closed by hand",
};

export const DELIVERIES = {
  pending: "on its way",
  delivered: "delivered",
  dead: "dead letter",
};

export const COLUMNS = {
  psi: "Population stability index of the groups. 0 is no difference; rules of thumb call more than 0.2 a shift.",
  ks: "Kolmogorov-Smirnov distance of two distributions of numbers, from 0 to 1; categories have none.",
  pvalue: "How probable so much evidence would be if nothing had changed; drifted at or below the threshold.",
  effect:
    "How far the window is from the reference, as PSI, beyond what chance and (where the reference is calibrated) the natural " +
    "difference of windows add. Below its threshold nothing counts.",
  missing: "Share of missing values in the window.",
  moved: "The group whose share changed most: in the reference, and now.",
};

export function reasonName(reason) {
  return REASONS[reason]?.[0] ?? reason;
}

export function reasonSentence(reason) {
  return REASONS[reason]?.[1] ?? "";
}
