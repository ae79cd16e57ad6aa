// The record and the servers, as they are shown.

const SPANS = [["24h", "24 hours"], ["7d", "7 days"], ["30d", "30 days"]];
const HOUR_MS = 3600000;
const ERRORS_SHOWN = 8;
const TROUBLE = ["parked", "resting"];

/** What is looked at, and what goes on with servers that are told to restart. */
const view = { data: null, charts: {}, restarts: new Map() };

/** The steps of time, each with its sums. */
function stepsOf({ span, series }) {
  const start = Date.parse(span.since);
  const steps = series.calls.map((calls, place) => ({
    calls,
    wrong: series.errors[place],
    cancelled: series.cancelled[place],
    answered: calls - series.errors[place] - series.cancelled[place],
    p50: series.p50Ms[place],
    p95: series.p95Ms[place],
  }));
  return Object.assign(steps, { hours: span.stepHours, starts: (place) => start + place * span.stepHours * HOUR_MS });
}

function show(data) {
  view.data = data;
  view.steps = stepsOf(data);
  at("page").setAttribute("aria-busy", "false");
  at("figures").hidden = false;
  summary(data);
  notes(data.notes);
  spans(data.span);
  tiles(data.totals);
  charts(data.totals.calls > 0);
  errors(data.servers);
  servers();
  const made = Date.parse(data.madeAt);
  const source = host.is ? "" : " Made by bridge dashboard; the page holds what it shows and asks nobody.";
  at("foot").textContent = `${whole(made)}. Calls of the bridge's own tools are not counted.${source}`;
}

function summary({ servers: all, live }) {
  const servers = all.filter(({ state }) => state !== "removed");
  const trouble = servers.filter(({ state }) => TROUBLE.includes(state));
  const names = trouble.map(({ name, state }) => `${name} is ${state}`);
  const rest = servers.length - trouble.length;
  let text = servers.length === 1 ? "The server is well" : `All ${count(servers.length)} servers are well`;
  if (!live) text = "No bridge runs now";
  else if (servers.length === 0) text = "No servers are configured";
  else if (names.length > 3) text = `${names.slice(0, 3).join(", ")}, …`;
  else if (names.length) text = names.join(", ") + (rest ? `; ${count(rest)} more ${rest === 1 ? "is" : "are"} well` : "");
  at("summary").textContent = text;
  at("summary").classList.toggle("trouble", trouble.length > 0);
}

function notes(all) {
  at("notes").hidden = all.length === 0;
  at("notes").replaceChildren(...all.map((note) => make("li", {}, note)));
}

function spans({ asked }) {
  at("spans").hidden = at("refresh").hidden = !host.can;
  const button = ([span, name]) =>
    make("button", { type: "button", "aria-pressed": String(span === asked), click: () => refresh(span) }, name);
  at("spans").replaceChildren(...SPANS.map(button));
}

function tiles(totals) {
  const tile = (name, value, more, kind) =>
    make("div", {}, make("dt", {}, name), make("dd", { class: kind }, value), make("dd", { class: "more" }, more));
  const each = spell(view.steps.length * view.data.span.stepHours);
  at("tiles").replaceChildren(
    tile("Calls", count(totals.calls), `in ${each}`),
    tile("Errors", percent(totals.errors, totals.calls), many(totals.errors, "call"), totals.errors ? "is-wrong" : null),
    tile("Median", millis(totals.p50Ms), totals.calls ? "half took no longer" : "no calls"),
    tile("95th percentile", millis(totals.p95Ms), totals.calls ? "19 of 20 took no longer" : "no calls"),
    tile("Sessions", count(totals.sessions), `${count(totals.sessionsOpen)} open now`),
  );
}

function charts(hasCalls) {
  const { charts, steps } = view;
  charts.calls ??= new Bars(at("calls"), callsLabel, 200, look);
  charts.latency ??= new Ranges(at("latency"), latencyLabel, 190, look);
  for (const id of ["pair", "calls-legend"]) at(id).hidden = !hasCalls;
  if (hasCalls) charts.calls.show(steps);
  else charts.calls.say("No calls in this span. Every call that a client makes of a server behind the bridge is counted here.");
  // A call that a bridge died with took nobody knows how long.
  if (steps.some((step) => step.p50 !== null)) charts.latency.show(steps);
  else charts.latency.say("Of no call in this span is it known how long it took.");
  look(null);
}

const callsLabel = (steps) =>
  `Calls over time in ${many(steps.length, "step")} of ${spell(steps.hours)}. Arrow keys go from step to step.`;
const latencyLabel = () => "Median and 95th percentile of the time to answer, over time. Arrow keys go from step to step.";

/** Both charts and their legends tell of one step; of all of them when none is looked at. */
function look(step) {
  const { steps, data, charts } = view;
  for (const chart of Object.values(charts)) if (chart.steps) chart.look(step);
  const { totals } = data;
  const { calls, errors: wrong, cancelled, p50Ms: p50, p95Ms: p95 } = totals;
  const all = { answered: calls - wrong - cancelled, wrong, cancelled, p50, p95 };
  const told = step === null ? all : steps[step];
  const ends = step === null ? "" : clock(steps.starts(step + 1));
  const when = step === null ? `each bar ${spell(steps.hours)}` : `${moment(steps.starts(step))}–${ends}`;
  at("calls-when").textContent = data.totals.calls ? when : "";
  at("latency-when").textContent = step === null ? "" : when;
  const swatch = (kind) => make("span", { class: `swatch ${kind}`, "aria-hidden": "true" });
  const entry = (kind, value, name) => make("li", {}, swatch(kind), make("b", {}, value), name);
  at("calls-legend").replaceChildren(
    entry("answered", count(told.answered), "answered"),
    entry("cancelled", count(told.cancelled), "cancelled"),
    entry("wrong", count(told.wrong), told.wrong === 1 ? "error" : "errors"),
  );
  at("latency-legend").replaceChildren(
    entry("answered thin", millis(told.p50), "median"),
    entry("slow thin", millis(told.p95), "95th percentile"),
  );
}

function errors(servers) {
  const failing = servers.filter((server) => server.errors > 0).sort((a, b) => b.errors - a.errors);
  const most = failing[0]?.errors;
  const row = ({ name, errors, calls }) => {
    const bar = make("i", {});
    bar.style.width = `${Math.max(2, (100 * errors) / most)}%`;
    const told = [make("b", {}, count(errors)), ` of ${many(calls, "call")}, ${percent(errors, calls)}`];
    const track = make("span", { class: "track", "aria-hidden": "true" }, bar);
    return make("li", {}, make("span", {}, name), make("span", { class: "count" }, ...told), track);
  };
  const shown = failing.slice(0, ERRORS_SHOWN);
  const more = failing.length - shown.length;
  const calm = servers.filter((server) => server.errors === 0 && server.calls > 0).map(({ name }) => name);
  const some = more ? `${many(more, "server")} more had some.` : null;
  const rest = [some, calm.length ? `None: ${calm.join(", ")}` : null].filter(Boolean).join(" ");
  at("errors").replaceChildren(
    failing.length ? make("ul", { class: "bars" }, ...shown.map(row)) : make("p", { class: "empty" }, "No call failed."),
    ...(failing.length && rest ? [make("p", { class: "rest" }, rest)] : []),
  );
}

function servers() {
  const { servers, live } = view.data;
  const isReady = servers.filter(({ state }) => state === "ready").length;
  at("servers-when").textContent = servers.length && live ? `${count(isReady)} of ${count(servers.length)} running` : "";
  if (!servers.length) {
    const how = make("code", {}, "bridge install --move-servers");
    at("servers").replaceChildren(make("p", { class: "empty" }, "None yet. ", how, " puts those of your clients behind the bridge."));
    return;
  }
  // The keyboard stays where it is, though everything is drawn anew.
  const held = document.activeElement?.dataset.key;
  const head = make("div", { class: "servers-head", "aria-hidden": "true" }, make("span", {}, "Server"),
    ...["Calls", "Errors", "p95"].map((name) => make("span", { class: "number" }, name)), make("span", {}));
  // Those in trouble first, the others as the configuration has them.
  const sorted = [...servers].sort((a, b) => TROUBLE.includes(b.state) - TROUBLE.includes(a.state));
  at("servers").replaceChildren(head, make("ul", {}, ...sorted.map(server)));
  if (!host.can) {
    const why = host.is ? "This client lets no page call tools. Ask the model to restart a server, or: " : "To restart one: ";
    at("servers").append(make("p", { class: "rest", id: "no-restart" }, why, make("code", {}, "bridge restart SERVER")));
  }
  if (held) focus(held);
}

const focus = (key) => [...document.querySelectorAll("button")].find((button) => button.dataset.key === key)?.focus();

function server(it) {
  const { restarts, data } = view;
  const isTrouble = TROUBLE.includes(it.state);
  const again = it.retryAfterSeconds ? `a call starts it again in ${many(it.retryAfterSeconds, "second")}` : null;
  const because = [it.because, again].filter(Boolean).join("; ");
  const since = it.since ? `since ${nearby(Date.parse(it.since), Date.parse(data.madeAt))}` : null;
  const tools = it.tools === null ? null : many(it.tools, "tool");
  const bridge = it.bridge === null ? null : `bridge ${it.bridge}`;
  const facts = [bridge, since, tools, isTrouble ? null : because].filter(Boolean).join(" · ");
  const doing = restarts.get(it.name);
  const button = make("button", {
    type: "button",
    disabled: !host.can || it.state === "removed" || doing?.is === "running",
    "data-key": `restart ${it.name}`,
    "aria-label": `Restart ${it.name}`,
    "aria-describedby": host.can ? null : "no-restart",
    click: () => restart(it.name, { is: "asked" }),
  }, doing?.is === "running" ? "Starting…" : "Restart");
  const who = make("div", {},
    make("span", { class: "name" }, it.name),
    make("span", { class: `state ${it.state}` }, it.state),
    make("div", { class: "why" }, facts),
    isTrouble && because ? make("div", { class: "why trouble" }, because) : null,
  );
  const number = (name, value, more) =>
    make("div", { class: "number" }, make("span", { class: "label" }, `${name} `), value, more ? make("small", {}, ` ${more}`) : null);
  const numbers = make("div", { class: "numbers" },
    number("calls", count(it.calls)),
    number("errors", count(it.errors), it.errors ? percent(it.errors, it.calls) : null),
    number("p95", millis(it.p95Ms)),
  );
  const act = make("div", { class: "act" }, button);
  return make("li", { class: "server", "data-server": it.name }, who, numbers, act, doing ? aside(it.name, doing) : null);
}

/** Under a server: the question whether it is to restart, or how that went. */
function aside(name, { is, text }) {
  if (is !== "asked") return make("div", { class: is === "failed" ? "said bad" : "said", role: "status" }, text);
  const running = { is: "running", text: `${name} is ended and started anew…` };
  const button = (word, kind, doing) =>
    make("button", { type: "button", class: kind, "data-key": `${word} ${name}`, click: () => restart(name, doing) }, word);
  const question = make("span", {}, `Restart ${name}? Calls that run in it fail.`);
  const answers = [button("Restart now", "do", running), button("Keep it", null, null)];
  return make("div", { class: "ask", role: "group", "aria-label": `Restart ${name}?` }, question, ...answers);
}

/** What is to be shown of a server's restart. */
function restart(name, doing) {
  if (doing) view.restarts.set(name, doing);
  else view.restarts.delete(name);
  servers();
  if (!doing || doing.is === "asked") focus(`${doing ? "Restart now" : "restart"} ${name}`);
  if (doing?.is === "running") restartServer(name);
}

/** How restarts went has been read by now. */
function forget() {
  for (const [name, { is }] of view.restarts) if (is === "done" || is === "failed") view.restarts.delete(name);
}
