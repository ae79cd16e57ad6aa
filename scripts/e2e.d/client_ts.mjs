// The TypeScript SDK's client, 1.x (ts1) or 2.x (ts2), told what to do by client_ts.py: the protocol is described there.

import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

// What the SDK says to a console is not for the reader of our lines.
console.log = console.info = console.debug = console.error;

const LOG_LEVEL = 'io.modelcontextprotocol/logLevel';
const require = createRequire(process.env.NODE_HOME + '/');
const sdk = process.argv[2] === 'ts1' ? one() : two();

const say = (message) => process.stdout.write(JSON.stringify(message) + '\n');
const event = (name, ...args) => say({ event: name, with: args });

// A server's question, answered by client_ts.py.
const asked = new Map();
let asks = 0;
function ask(kind, ...args) {
  const number = ++asks;
  say({ ask: number, kind, with: args });
  return new Promise((resolve) => asked.set(number, resolve));
}

// 1.x names a method by its schema, 2.x by its name.
function one() {
  const types = require('@modelcontextprotocol/sdk/types.js');
  const schemas = {
    'elicitation/create': types.ElicitRequestSchema,
    'sampling/createMessage': types.CreateMessageRequestSchema,
    'roots/list': types.ListRootsRequestSchema,
    'notifications/message': types.LoggingMessageNotificationSchema,
    'notifications/tools/list_changed': types.ToolListChangedNotificationSchema,
    'notifications/prompts/list_changed': types.PromptListChangedNotificationSchema,
    'notifications/resources/list_changed': types.ResourceListChangedNotificationSchema,
    'notifications/resources/updated': types.ResourceUpdatedNotificationSchema,
  };
  return {
    Client: require('@modelcontextprotocol/sdk/client/index.js').Client,
    Transport: require('@modelcontextprotocol/sdk/client/stdio.js').StdioClientTransport,
    options: () => ({}),
    name: (method) => schemas[method],
    call: (client, params, options) => client.callTool(params, undefined, options),
    isModern: () => false,
    version: () => '2025-11-25',
  };
}

function two() {
  return {
    Client: require('@modelcontextprotocol/client').Client,
    Transport: require('@modelcontextprotocol/client/stdio').StdioClientTransport,
    options: (mode) => ({ versionNegotiation: { mode } }),
    name: (method) => method,
    call: (client, params, options) => client.callTool(params, options),
    isModern: (client) => client.getProtocolEra() === 'modern',
    version: (client) => client.getNegotiatedProtocolVersion(),
  };
}

let client, subscription, uris, meta;
const running = new Map();

function answerQuestions() {
  client.setRequestHandler(sdk.name('elicitation/create'), async ({ params }) => {
    if (params.mode === 'url') return { action: await ask('url', params.url) };
    const [action, content] = await ask('form', params.message);
    return content ? { action, content } : { action };
  });
  client.setRequestHandler(sdk.name('sampling/createMessage'), async ({ params }) => {
    const content = [params.messages[0].content].flat()[0];
    const text = await ask('sampling', content.text);
    return { role: 'assistant', model: 'e2e', content: { type: 'text', text } };
  });
  client.setRequestHandler(sdk.name('roots/list'), async () => ({ roots: (await ask('list_roots')).map((uri) => ({ uri })) }));
}

function listenToNotices() {
  const heard = (method, act) => client.setNotificationHandler(sdk.name(method), ({ params }) => act(params));
  heard('notifications/message', ({ level, logger, data }) => event('log', level, logger ?? null, data));
  heard('notifications/resources/updated', ({ uri }) => event('updated', uri));
  for (const kind of ['tools', 'prompts', 'resources'])
    heard(`notifications/${kind}/list_changed`, () => event('changed', kind));
}

async function pages(method, field) {
  const found = [];
  // 1.x gives one page; 2.x walks all pages when no cursor is named, and gives no further cursor then.
  for (let cursor, first = true; first || cursor; first = false) {
    const page = await client[method](cursor ? { cursor } : {});
    found.push(...page[field]);
    cursor = page.nextCursor;
  }
  return found;
}

async function completion(ref, name, value, before) {
  const params = { ref, argument: { name, value }, ...(before && { context: { arguments: before } }) };
  return (await client.complete(params)).completion.values;
}

const verbs = {
  async connect({ command, args, env, mode, name }) {
    const capabilities = { elicitation: { form: {}, url: {} }, sampling: {}, roots: { listChanged: true } };
    client = new sdk.Client({ name, version: '1' }, { capabilities, ...sdk.options(mode) });
    answerQuestions();
    listenToNotices();
    await client.connect(new sdk.Transport({ command, args, env: { ...process.env, ...env } }));
    // 1.x does not tell the version it agreed on.
    return { version: sdk.version(client), modern: sdk.isModern(client) };
  },
  close: () => client.close(),
  tools: async () => (await pages('listTools', 'tools')).map((tool) => tool.name),
  prompts: async () => (await pages('listPrompts', 'prompts')).map((prompt) => prompt.name),
  resources: async () => (await pages('listResources', 'resources')).map((one) => one.uri),
  templates: async () => (await pages('listResourceTemplates', 'resourceTemplates')).map((one) => one.uriTemplate),
  async call(name, args, wantsProgress, id) {
    const abort = new AbortController();
    running.set(id, abort);
    const onprogress = ({ progress, total, message }) => say({ progress: id, with: [progress, total, message ?? null] });
    const options = { signal: abort.signal, ...(wantsProgress && { onprogress }) };
    const params = { name, arguments: args, ...(meta && { _meta: meta }) };
    try {
      const { content, isError } = await sdk.call(client, params, options);
      const links = content.filter(({ type }) => type === 'resource_link').map(({ uri }) => uri);
      return { text: content[0].text, is_error: Boolean(isError), links };
    } finally {
      running.delete(id);
    }
  },
  abort: (id) => void running.get(id)?.abort('no longer needed'),
  read: async (uri) => (await client.readResource({ uri })).contents[0].text,
  prompt: async (name, args) => (await client.getPrompt({ name, arguments: args })).messages[0].content.text,
  complete_prompt: (name, ...rest) => completion({ type: 'ref/prompt', name }, ...rest),
  complete_template: (uri, ...rest) => completion({ type: 'ref/resource', uri }, ...rest),
  async level(level) {
    if (sdk.isModern(client)) meta = { [LOG_LEVEL]: level };
    else await client.setLoggingLevel(level);
  },
  async listen(wanted) {
    uris = wanted;
    if (sdk.isModern(client)) {
      const changes = { toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true };
      subscription = await client.listen({ ...changes, resourceSubscriptions: uris });
    } else for (const uri of uris) await client.subscribeResource({ uri });
  },
  async unlisten() {
    if (sdk.isModern(client)) await subscription.close();
    else for (const uri of uris) await client.unsubscribeResource({ uri });
  },
  async roots_changed() {
    if (!sdk.isModern(client)) await client.sendRootsListChanged();
  },
};

async function perform({ id, do: verb, with: { args, ...named } }) {
  try {
    // `connect` has arguments by name, `call` has to know its number.
    const value = verb === 'connect' ? await verbs.connect({ args, ...named }) : await verbs[verb](...args, ...(verb === 'call' ? [id] : []));
    say({ id, value });
  } catch (error) {
    say({ id, error: `${error.code ?? ''} ${error.message}`.trim() });
  }
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const message = JSON.parse(line);
  if ('answer' in message) {
    asked.get(message.answer)(message.value);
    asked.delete(message.answer);
  } else perform(message);
});
process.stdin.on('end', () => client?.close());
