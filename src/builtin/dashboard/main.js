// The page's life: in a client it is told the record and asks for it again; in a file it holds it.

const EVERY_MS = 60000;
const GIVEN_AFTER_MS = 3000;

const life = { span: "7d", asking: null, timer: null };

/** Whether a tool's result holds what this page can show. */
const isRecord = (data) => data?.version === 1 && Array.isArray(data.servers);

function take(result) {
  if (isRecord(result.structuredContent)) {
    life.span = result.structuredContent.span.asked ?? life.span;
    show(result.structuredContent);
    return;
  }
  const text = (result.content ?? []).map((part) => part.text ?? "").join("\n").trim();
  throw new Error(text && result.isError ? text : "the client passed on no figures");
}

/** Asks for the record again, of another span if one is named. */
async function refresh(span) {
  if (!host.can || life.asking) return life.asking;
  clearTimeout(life.timer);
  life.span = span ?? life.span;
  at("page").setAttribute("aria-busy", "true");
  life.asking = callTool("bridge_dashboard", { since: life.span }).then(take).catch(complain);
  await life.asking;
  life.asking = null;
  at("page").setAttribute("aria-busy", "false");
  again();
}

/** Once a minute is enough, and only for eyes. */
function again() {
  clearTimeout(life.timer);
  life.timer = setTimeout(() => {
    if (document.visibilityState !== "visible") return again();
    forget();
    return refresh();
  }, EVERY_MS);
}

function complain(error) {
  const text = `The bridge could not be asked: ${error.message}.`;
  if (view.data) notes([...view.data.notes, `${text} What is shown is from ${clock(Date.parse(view.data.madeAt))}.`]);
  else at("summary").textContent = text;
}

async function restartServer(name) {
  let doing;
  try {
    const result = await callTool("bridge_restart", { server: name });
    const text = (result.content ?? []).map((part) => part.text ?? "").join("\n").trim();
    doing = { is: result.isError ? "failed" : "done", text: text || "It was started anew." };
  } catch (error) {
    doing = { is: "failed", text: `${name} was not restarted: ${error.message}` };
  }
  restart(name, doing);
  refresh();
}

async function live() {
  let isGiven = false;
  hears("ui/notifications/tool-input", (params) => (life.span = params.arguments?.since ?? life.span));
  hears("ui/notifications/tool-result", (result) => {
    isGiven = true;
    try {
      take(result);
    } catch (error) {
      complain(error);
      if (!result.isError) refresh();
    }
    again();
  });
  hears("ui/notifications/tool-cancelled", () => complain(new Error("the call was cancelled")));
  hears("ui/resource-teardown", () => clearTimeout(life.timer));
  await greet();
  // A page that is shown again is not always told again.
  setTimeout(() => isGiven || refresh(), GIVEN_AFTER_MS);
}

at("refresh").addEventListener("click", () => refresh());
const held = JSON.parse(at("record").textContent);
if (isRecord(held)) show(held);
else if (window.parent !== window) live().catch(complain);
else at("summary").textContent = "This page is shown by an AI client, or made by bridge dashboard.";
