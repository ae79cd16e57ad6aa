// The client that shows the page (MCP Apps, SEP-1865): JSON-RPC by postMessage, both ways.

const PROTOCOL = "2026-01-26";
const PATIENCE_MS = 60000;

/** Whether there is a client around the page, and whether it lets the page call tools. */
const host = { is: false, can: false, next: 1, waiting: new Map(), heard: {} };

function post(message) {
  window.parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
}

/** Asks the client something; whoever gives no answer for a minute has refused. */
function ask(method, params) {
  const id = host.next;
  host.next += 1;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      host.waiting.delete(id);
      reject(new Error("the client did not answer"));
    }, PATIENCE_MS);
    host.waiting.set(id, (message) => {
      clearTimeout(timer);
      host.waiting.delete(id);
      if (message.error) reject(new Error(String(message.error.message ?? "the client refused")));
      else resolve(message.result ?? {});
    });
    post({ id, method, params });
  });
}

/** The result of a tool of the bridge. */
const callTool = (name, args) => ask("tools/call", { name, arguments: args });

/** What the page is told, by method. */
function hears(method, act) {
  host.heard[method] = act;
}

function hear(event) {
  const message = event.data;
  if (event.source !== window.parent || message?.jsonrpc !== "2.0") return;
  if (message.method === undefined) {
    host.waiting.get(message.id)?.(message);
    return;
  }
  const act = host.heard[message.method];
  const result = act?.(message.params ?? {});
  if (message.id === undefined) return;
  if (act) post({ id: message.id, result: result ?? {} });
  else post({ id: message.id, error: { code: -32601, message: `no method ${message.method}` } });
}

/** How the client looks, and where its user is: what it does not say stays as it was. */
function adapt(context) {
  const { theme, locale, timeZone, styles } = context;
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  if (locale || timeZone) settle(locale ?? place.locale, timeZone ?? place.timeZone);
  for (const font of ["--font-sans", "--font-mono"]) {
    const family = styles?.variables?.[font];
    if (typeof family === "string") document.documentElement.style.setProperty(font, family);
  }
}

/** Greets the client, and says from then on how high the page is. */
async function greet() {
  window.addEventListener("message", hear);
  host.is = true;
  hears("ping", () => ({}));
  hears("ui/notifications/host-context-changed", (context) => {
    adapt(context);
    if (view.data) show(view.data);
  });
  const { hostContext, hostCapabilities } = await ask("ui/initialize", {
    appInfo: { name: "bridge dashboard", version: "1" },
    appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
    protocolVersion: PROTOCOL,
  });
  host.can = Boolean(hostCapabilities?.serverTools);
  adapt(hostContext ?? {});
  post({ method: "ui/notifications/initialized" });
  let told = "";
  const tell = () => {
    const size = { width: Math.ceil(window.innerWidth), height: Math.ceil(document.documentElement.getBoundingClientRect().height) };
    if (told === `${size.width} ${size.height}`) return;
    told = `${size.width} ${size.height}`;
    post({ method: "ui/notifications/size-changed", params: size });
  };
  new ResizeObserver(tell).observe(document.documentElement);
  tell();
}
