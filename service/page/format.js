// Numbers, times and names as people read them. What does not exist is a dash, never a zero.

export const NONE = "\u2013";

const GROUPED = new Intl.NumberFormat("en");
const AGES = [["y", 31_557_600_000], ["d", 86_400_000], ["h", 3_600_000], ["min", 60_000], ["s", 1_000]];
const UNITS_S = { d: 86_400, h: 3_600, m: 60, s: 1 };
const PVALUE_SHOWN_MIN = 1e-300;

/** Three digits. */
export function number(value) {
  if (value === null || value === undefined) {
    return NONE;
  }
  const size = Math.abs(value);
  return size > 0 && size < 0.001 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

export function pvalue(value) {
  if (value === null || value === undefined) {
    return NONE;
  }
  if (value < PVALUE_SHOWN_MIN) {
    return "<1e-300";
  }
  return value < 0.001 ? value.toExponential(0) : String(Number(value.toPrecision(2)));
}

/** A ratio in percent; what is almost nothing is not called nothing, nor what is almost all all. */
export function percent(ratio) {
  if (ratio === null || ratio === undefined) {
    return NONE;
  }
  if (ratio > 0 && ratio < 0.0005) {
    return "<0.1\u00a0%";
  }
  if (ratio < 1 && ratio > 0.9995) {
    return ">99.9\u00a0%";
  }
  return `${Number((100 * ratio).toFixed(1))}\u00a0%`;
}

export function count(value) {
  return value === null || value === undefined ? NONE : GROUPED.format(value);
}

/** `1 column`, `3 columns`. */
export function counted(value, noun) {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** How long ago a time was. */
export function age(instant, nowMs) {
  const ms = nowMs - Date.parse(instant);
  return ms < 1_000 ? "now" : `${duration(ms)} ago`;
}

export function duration(ms) {
  const [unit, unitMs] = AGES.find(([, some]) => ms >= some) ?? AGES.at(-1);
  return `${Math.floor(ms / unitMs)}\u00a0${unit}`;
}

/** Seconds of a duration such as `6h`. */
export function durationS(text) {
  return Number(text.slice(0, -1)) * UNITS_S[text.at(-1)];
}

/** Label of windows of so many base windows, as the service writes it. */
export function windowLabel(baseWindow, scale) {
  const seconds = durationS(baseWindow) * scale;
  const [unit, unitS] = Object.entries(UNITS_S).find(([, some]) => seconds % some === 0);
  return `${seconds / unitS}${unit}`;
}

/** `2012-03-05 00:00`, by the wall clock of a time zone. */
export function wallClock(instant, zone) {
  const { date, time } = wallParts(instant, zone);
  return `${date} ${time}`;
}

/** A window: days if it is whole days, else from and to. */
export function span(window, zone) {
  const from = wallParts(window.start, zone);
  const to = wallParts(window.end, zone);
  if (from.time === "00:00" && to.time === "00:00") {
    const last = wallParts(Date.parse(window.end) - 1, zone).date;
    return from.date === last ? from.date : `${from.date} to ${last}`;
  }
  const end = from.date === to.date ? to.time : `${to.date} ${to.time}`;
  return `${from.date} ${from.time} to ${end}`;
}

/** A name in which nothing is hidden: what cannot be seen, or turns the direction of other text, is written as its code. */
export function visible(name) {
  const text = String(name).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, code);
  return text.trim() === "" ? `"${text}"` : text;
}

/** A name within a plain text, such as a tooltip: kept apart from the direction of what is around it. */
export function isolated(name) {
  return `\u2068${visible(name)}\u2069`;
}

function code(character, offset, text) {
  const joinsEmoji = character === "\u200d" && /\p{Extended_Pictographic}\ufe0f?$/u.test(text.slice(0, offset));
  return joinsEmoji ? character : `\\u{${character.codePointAt(0).toString(16)}}`;
}

function wallParts(instant, zone) {
  const parts = Object.fromEntries(formatter(zone).formatToParts(new Date(instant)).map(({ type, value }) => [type, value]));
  return { date: `${parts.year}-${parts.month}-${parts.day}`, time: `${parts.hour}:${parts.minute}` };
}

const formatters = new Map();

function formatter(zone) {
  if (!formatters.has(zone)) {
    const parts = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
    formatters.set(zone, new Intl.DateTimeFormat("en-GB", { ...parts, timeZone: zone }));
  }
  return formatters.get(zone);
}
