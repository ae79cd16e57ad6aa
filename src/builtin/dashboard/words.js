// Numbers and times as people read them, in the viewer's own place.

const place = { locale: undefined, timeZone: undefined };

/** Where the viewer is, if the host says it; what nobody understands is not taken. */
function settle(locale, timeZone) {
  try {
    new Intl.DateTimeFormat(locale, { timeZone }).format(0);
    Object.assign(place, { locale, timeZone });
  } catch {
    Object.assign(place, { locale: undefined, timeZone: undefined });
  }
}

const count = (number) => new Intl.NumberFormat(place.locale).format(number);

function percent(part, whole) {
  if (!whole) return "–";
  const share = part / whole;
  const digits = share > 0 && share < 0.1 ? 1 : 0;
  // What is there is never called nothing, nor a part the whole.
  if (share > 0 && share < 0.001) return "< " + percent(1, 1000);
  if (share < 1 && share > 0.995) return "> " + percent(99, 100);
  return new Intl.NumberFormat(place.locale, { style: "percent", maximumFractionDigits: digits }).format(share);
}

/** A span of milliseconds: 0.4 ms, 12 ms, 2.1 s. */
function millis(ms) {
  if (ms === null || ms === undefined) return "–";
  const text = (value, unit, digits) =>
    new Intl.NumberFormat(place.locale, { maximumFractionDigits: digits }).format(value) + "\u00a0" + unit;
  if (ms < 9.95) return text(ms, "ms", 1);
  if (ms < 999.5) return text(ms, "ms", 0);
  if (ms < 9950) return text(ms / 1000, "s", 1);
  return (ms >= 60000 ? "≥\u00a0" : "") + text(ms / 1000, "s", 0);
}

const many = (number, one, more) => `${count(number)} ${number === 1 ? one : more ?? one + "s"}`;

const time = (at, how) => new Intl.DateTimeFormat(place.locale, { timeZone: place.timeZone, ...how }).format(at);
const clock = (at) => time(at, { timeStyle: "short" });
const day = (at) => time(at, { day: "numeric", month: "short" });
const moment = (at) => time(at, { weekday: "short", day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });
const whole = (at) => time(at, { dateStyle: "medium", timeStyle: "short" });

/** A time before another, in as few words as tell it. */
const nearby = (at, now) => (day(at) === day(now) ? clock(at) : now - at < 6 * 86400000 ? moment(at) : day(at));

/** A span of hours: 24 hours, 7 days. */
const spell = (hours) => (hours % 24 === 0 && hours > 24 ? many(hours / 24, "day") : many(hours, "hour"));

/** An element with its attributes and what is in it. Texts stay texts, whatever stands in them. */
function make(tag, attributes, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...inside.filter((part) => part !== null && part !== undefined));
  return element;
}

const at = (id) => document.getElementById(id);
