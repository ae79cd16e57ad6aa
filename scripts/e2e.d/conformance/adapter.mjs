// Streamable HTTP on the loopback before a stdio server, for tests only: adapter.mjs [--strip NAME] COMMAND ARGS…
//
// One child for each session of an older client, one for all requests of the modern era. Prints its port. With --strip the
// child is the bridge: names lose `NAME__` on the way out and get it on the way in, and the bridge's own tools are left out.
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import http from "node:http";
import readline from "node:readline";

const args = process.argv.slice(2);
const prefix = args[0] === "--strip" ? `${args.splice(0, 2)[1]}__` : "";
const META = "io.modelcontextprotocol/";
const MODERN = "2026-07-28";
const envelope = { [META + "protocolVersion"]: MODERN, [META + "clientInfo"]: { name: "adapter", version: "1" }, [META + "clientCapabilities"]: {} };
const STATUS = { [-32601]: 404, [-32020]: 400, [-32021]: 400, [-32022]: 400 };
const LISTS = { "tools/list": "tools", "prompts/list": "prompts" };

// A request's answer: plain JSON if nothing came before it, else a stream of events.
class Exchange {
  constructor(res, request, modern) {
    Object.assign(this, { res, request, modern, open: true });
  }
  event(message) {
    if (!this.res.headersSent) this.res.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
    this.res.write(`event: message\ndata: ${JSON.stringify(message)}\n\n`);
  }
  finish(message, headers = {}) {
    this.open = false;
    if (this.res.headersSent) {
      this.event(message);
      return this.res.end();
    }
    const bare = this.modern && !(META + "protocolVersion" in (this.request.params?._meta ?? {}) && META + "clientCapabilities" in this.request.params._meta);
    const status = (this.modern && message.error && (STATUS[message.error.code] ?? (bare ? 400 : 200))) || 200;
    reply(this.res, status, message, headers);
  }
}

function reply(res, status, message, headers = {}) {
  res.writeHead(status, { "content-type": "application/json", ...headers });
  res.end(message === undefined ? "" : JSON.stringify(message));
}

class Child {
  constructor(modern) {
    this.modern = modern;
    this.process = spawn(args[0], args.slice(1), { stdio: ["pipe", "pipe", "inherit"] });
    this.process.stdin.on("error", () => {});
    this.pending = new Map();
    this.last = 0;
    readline.createInterface({ input: this.process.stdout }).on("line", (line) => line.trim() && this.heard(JSON.parse(line)));
    // The Python SDK takes a connection's era from the first request.
    if (modern) this.send({ jsonrpc: "2.0", id: "first", method: "server/discover", params: { _meta: envelope } });
  }
  send(message) {
    this.process.stdin.write(JSON.stringify(message) + "\n");
  }
  ask(exchange) {
    const id = ++this.last;
    this.pending.set(id, exchange);
    this.send({ ...inward(exchange.request), id });
    exchange.res.on("close", () => {
      if (!exchange.open || !this.pending.delete(id)) return;
      this.send({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: id } });
    });
  }
  // A client's notification or its answer to a question.
  tell(message) {
    if (message.method === "notifications/cancelled") {
      const found = [...this.pending].find(([, e]) => e.request.id === message.params?.requestId);
      message = { ...message, params: { ...message.params, requestId: found?.[0] } };
    }
    this.send(message);
  }
  heard(message) {
    if (message.method === undefined) {
      const exchange = this.pending.get(message.id);
      this.pending.delete(message.id);
      exchange?.finish({ ...outward(exchange.request, message), id: exchange.request.id }, this.session ? { "mcp-session-id": this.session } : {});
      return;
    }
    const subscription = message.params?._meta?.[META + "subscriptionId"];
    const listening = this.pending.get(subscription);
    if (listening) message.params._meta[META + "subscriptionId"] = listening.request.id;
    const target = listening ?? this.concerned(message);
    target?.event(message);
  }
  // Whose stream a message belongs to: the progress token's, else the newest request's, else the standing stream.
  concerned(message) {
    const all = [...this.pending.values()].filter((e) => e.request.method !== "subscriptions/listen");
    const token = message.params?.progressToken;
    const waiting = token === undefined ? all.at(-1) : all.find((e) => e.request.params?._meta?.progressToken === token);
    return message.method.endsWith("list_changed") ? (this.standing ?? waiting) : (waiting ?? this.standing);
  }
  end() {
    this.process.stdin.end();
  }
}

function inward(message) {
  const params = message.params;
  if (!prefix || !params) return message;
  if (["tools/call", "prompts/get"].includes(message.method) && typeof params.name === "string")
    return { ...message, params: { ...params, name: prefix + params.name } };
  if (message.method === "completion/complete" && params.ref?.name)
    return { ...message, params: { ...params, ref: { ...params.ref, name: prefix + params.ref.name } } };
  return message;
}

function outward(request, message) {
  const key = LISTS[request.method];
  if (!prefix || !message.result?.[key]) return message;
  const rows = message.result[key].filter((row) => row.name.startsWith(prefix)).map((row) => ({ ...row, name: row.name.slice(prefix.length) }));
  return { ...message, result: { ...message.result, [key]: rows } };
}

const sessions = new Map();
let shared;

function local(value) {
  return !value || ["localhost", "127.0.0.1", "[::1]"].includes(new URL(value.includes("//") ? value : `http://${value}`).hostname);
}

function fault(res, id, status, code, text) {
  reply(res, status, { jsonrpc: "2.0", id: id ?? null, error: { code, message: text } });
}

function post(req, res, message) {
  const session = req.headers["mcp-session-id"];
  const version = req.headers["mcp-protocol-version"];
  const named = message.params?._meta?.[META + "protocolVersion"];
  const modern = !session && (named !== undefined || version >= MODERN || message.method !== "initialize");
  if (Array.isArray(message)) return fault(res, null, 400, -32600, "No batches");
  if (session && !sessions.has(session)) return fault(res, message.id, 404, -32001, "Session not found");
  if (modern && named !== undefined && named !== version) return fault(res, message.id, 400, -32020, "Header mismatch");
  const child = session ? sessions.get(session) : modern ? (shared ??= new Child(true)) : new Child(false);
  if (message.method === undefined || message.id === undefined) {
    child.tell(message);
    return reply(res, 202);
  }
  if (!session && !modern) {
    child.session = randomUUID();
    sessions.set(child.session, child);
  }
  child.ask(new Exchange(res, message, modern));
}

const server = http.createServer((req, res) => {
  if (!local(req.headers.host) || !local(req.headers.origin)) return fault(res, null, 403, -32000, "Not local");
  const child = sessions.get(req.headers["mcp-session-id"]);
  if (req.method === "DELETE" && child) {
    sessions.delete(child.session);
    child.end();
    return reply(res, 200);
  }
  if (req.method === "GET" && child) {
    child.standing = new Exchange(res, {}, false);
    res.writeHead(200, { "content-type": "text/event-stream" });
    res.flushHeaders();
    return res.on("close", () => (child.standing = undefined));
  }
  if (req.method !== "POST") return fault(res, null, child || req.method === "GET" ? 405 : 404, -32000, "Not here");
  let body = "";
  req.setEncoding("utf8").on("data", (data) => (body += data));
  req.on("end", () => {
    try {
      post(req, res, JSON.parse(body));
    } catch (error) {
      fault(res, null, 400, -32700, String(error));
    }
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
// The test ends this by closing its input.
process.stdin.resume().on("end", () => {
  for (const child of [...sessions.values(), shared]) child?.end();
  server.close();
  server.closeAllConnections();
});
