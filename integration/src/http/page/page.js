// Shows what the API of this process says. Whatever comes from the network is written as text, never as markup.

const $ = (id) => document.getElementById(id);
const HISTORY = 180; // seconds of a sparkline
const history = new Map(); // table name -> numbers of entries
let tables = []; // as the API lists them
let before = null; // the overview before this one
let watching = null; // how to stop watching the table that is shown
let token = sessionStorage.getItem("token");

const number = new Intl.NumberFormat("en").format;

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const cell = (text, kind) => element("td", text, kind ? { class: kind } : {});

function say(text, kind) {
  if ($("state").textContent !== text) $("state").textContent = text;
  $("state").className = kind;
}

// ---- Asking

async function ask(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { ...options, headers });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({ detail: answer.statusText }));
  throw Object.assign(new Error(problem.detail), { status: answer.status });
}

const json = async (path) => (await ask(path)).json();

// Reads server-sent events. EventSource cannot send a token.
async function events(path, signal, heard) {
  const answer = await ask(path, { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let left = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (left + value).split("\n\n");
    left = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5));
      if (data.length > 0) heard(JSON.parse(data.join("\n")));
    }
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// Goes on watching until it is told to stop.
function watch(path, heard, wrong) {
  const stop = new AbortController();
  (async () => {
    while (!stop.signal.aborted) {
      try {
        await events(path, stop.signal, heard);
      } catch (error) {
        if (stop.signal.aborted) return;
        if (wrong(error)) return;
      }
      await pause(1000);
    }
  })();
  return () => stop.abort();
}

function lost(error) {
  if (error.status === 401) {
    $("sign-in").hidden = false;
    if (token) $("refused").textContent = error.message;
    say("a token is needed", "bad");
    return true;
  }
  say(`no connection, trying again: ${error.message}`, "bad");
  return false;
}

// ---- Where we are: #table=NAME&by=TYPE&prefix=NETWORK&limit=N

const place = () => new URLSearchParams(location.hash.slice(1));

function link(changes) {
  const to = place();
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") to.delete(name);
    else to.set(name, value);
  }
  return `#${to}`;
}

// ---- Tables

function spark(numbers, title) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", "0 0 100 20");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", title);
  const most = Math.max(1, ...numbers);
  const at = (index) => (100 * (HISTORY - numbers.length + index)) / (HISTORY - 1);
  const points = numbers.map((value, index) => `${at(index).toFixed(1)},${(19 - (18 * value) / most).toFixed(1)}`);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", points.join(" "));
  svg.append(line);
  return svg;
}

function showTables(now) {
  const rows = now.tables.map((table) => {
    const old = before?.tables.find((other) => other.name === table.name);
    const seconds = old ? (now.at_ms - before.at_ms) / 1000 : 0;
    const rate = (what) => (seconds > 0 ? number(Math.round((table.counts[what] - old.counts[what]) / seconds)) : "–");
    const known = tables.find((other) => other.name === table.name);
    const numbers = history.get(table.name) ?? [];
    numbers.push(table.used);
    history.set(table.name, numbers.slice(-HISTORY));
    const row = element("tr");
    if (place().get("table") === table.name) row.setAttribute("aria-current", "true");
    const name = element("th", undefined, { scope: "row" });
    name.append(element("a", table.name, { href: link({ table: table.name, by: null, prefix: null }) }));
    const line = element("td");
    line.append(spark(history.get(table.name), `${number(table.used)} entries now, ${number(Math.min(...numbers))} to ${number(Math.max(...numbers))} before`));
    row.append(
      name, cell(known?.key_type ?? ""), cell(number(table.used), "n"), cell(number(table.size), "n"), line,
      cell(rate("created"), "n"), cell(rate("expired"), "n"), cell(number(table.counts.purged), "n"), cell(number(table.counts.refused), "n"),
    );
    return row;
  });
  replace($("tables").tBodies[0], rows);
}

// Puts rows in place of others, and leaves the focus where it was.
function replace(body, rows) {
  const focused = body.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  body.replaceChildren(...rows);
  if (focused) [...body.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused)?.focus();
}

// ---- Peers

function showPeers(now) {
  const rows = now.peers.flatMap((section) =>
    section.peers.map((peer) => {
      const row = element("tr");
      const waited = peer.waited_ms > 0 ? `${(peer.waited_ms / 1000).toFixed(1)} s` : "–";
      row.append(
        cell(section.name), element("th", peer.name, { scope: "row" }), cell(peer.address),
        cell(peer.state, peer.connected ? "good" : "bad"), cell(number(peer.unacked), "n"), cell(waited, "n"),
        cell(number(peer.updates_learned), "n"), cell(number(peer.updates_sent), "n"), cell(peer.last_end ?? ""),
      );
      return row;
    }),
  );
  if (rows.length === 0) rows.push(element("tr"));
  if (now.peers.length === 0) rows[0].append(element("td", "There are no peers.", { colspan: "9" }));
  replace($("peers").tBodies[0], rows);
}

// ---- Who talks most

// The networks around a key, to look at from further away or nearer.
function networks(key, type) {
  if (type === "ip") {
    const parts = key.split(".");
    return [8, 16, 24].map((bits) => `${parts.slice(0, bits / 8).concat(["0", "0", "0", "0"]).slice(0, 4).join(".")}/${bits}`);
  }
  if (type === "ipv6") {
    const [head, tail = ""] = key.split("::");
    const left = head.split(":").filter(Boolean);
    const right = tail.split(":").filter(Boolean);
    const parts = key.includes("::") ? [...left, ...Array(Math.max(0, 8 - left.length - right.length)).fill("0"), ...right] : left;
    return key.includes(".") ? [] : [32, 48, 64].map((bits) => `${parts.slice(0, bits / 16).join(":")}::/${bits}`);
  }
  return [];
}

const shown = (value) =>
  value === null || value === undefined ? "–" : Array.isArray(value) ? value.map(number).join(" ") : typeof value === "number" ? number(value) : value;

function showEntries(table, by, prefix, entries, order) {
  const columns = table.columns.map((column) => column.type);
  const head = [element("th", "Key", { scope: "col" })];
  for (const column of table.columns) {
    const period = column.period_ms ? ` in ${column.period_ms / 1000} s` : "";
    const th = element("th", column.type + period, { scope: "col", class: "n" });
    if (column.type === by) th.setAttribute("aria-sort", "descending");
    head.push(th);
  }
  head.push(element("th", "Lives", { scope: "col", class: "n" }));
  if (table.key_type === "ip" || table.key_type === "ipv6") head.push(element("th", "Networks", { scope: "col" }));
  $("entries").tHead.rows[0].replaceChildren(...head);
  $("entries").caption.textContent = `${order.length} keys${prefix ? ` of ${prefix}` : ""}, largest ${by} first`;
  const rows = order.map((path) => {
    const entry = entries.get(path);
    const row = element("tr");
    const key = element("th", entry.key, { scope: "row", class: "key" });
    row.append(key, ...columns.map((column) => cell(shown(entry.data[column]), "n")));
    row.append(cell(entry.expires_in_ms > 0 ? `${Math.ceil(entry.expires_in_ms / 1000)} s` : "–", "n"));
    const around = networks(entry.key, table.key_type);
    if (around.length > 0) {
      const td = element("td");
      for (const network of around) {
        td.append(element("a", network.slice(network.indexOf("/")), { href: link({ prefix: network }), "aria-label": `only ${network}` }), " ");
      }
      row.append(td);
    }
    return row;
  });
  if (rows.length === 0) {
    rows.push(element("tr"));
    rows[0].append(element("td", "Nothing is known of any key here.", { colspan: String(head.length) }));
  }
  replace($("entries").tBodies[0], rows);
}

async function go() {
  watching?.();
  watching = null;
  const here = place();
  const name = here.get("table");
  $("talkers").hidden = !name;
  $("wrong").textContent = "";
  if (!name) return;
  try {
    if (!tables.some((table) => table.name === name)) tables = await json("/v1/tables");
  } catch (error) {
    lost(error);
    return;
  }
  const table = tables.find((table) => table.name === name);
  if (!table) {
    $("wrong").textContent = `There is no table ${name}.`;
    return;
  }
  $("talkers-title").textContent = `Top talkers of ${name}`;
  const sortable = table.columns.filter((column) => column.type !== "server_key").map((column) => column.type);
  const by = sortable.includes(here.get("by")) ? here.get("by") : (sortable.find((type) => type.endsWith("_rate")) ?? sortable[0]);
  const prefix = here.get("prefix") ?? "";
  const limit = ["10", "25", "100"].includes(here.get("limit")) ? here.get("limit") : "25";
  $("by").replaceChildren(...sortable.map((type) => element("option", type, type === by ? { selected: "" } : {})));
  $("prefix").value = prefix;
  $("limit").value = limit;
  $("whole").hidden = !prefix;
  $("whole").href = link({ prefix: null });
  const query = new URLSearchParams({ limit, ...(by ? { sort: by } : {}), ...(prefix ? { prefix } : {}) });
  let entries = new Map();
  watching = watch(
    `/v1/tables/${encodeURIComponent(name)}/events?${query}`,
    (changes) => {
      for (const path of changes.gone) entries.delete(path);
      for (const entry of changes.changed) entries.set(entry.path, entry);
      $("wrong").textContent = "";
      showEntries(table, by, prefix, entries, changes.order);
    },
    (error) => {
      entries = new Map();
      if (error.status >= 400 && error.status < 500 && error.status !== 401) {
        $("wrong").textContent = error.message;
        return true;
      }
      return lost(error);
    },
  );
}

$("which").addEventListener("submit", (event) => {
  event.preventDefault();
  location.hash = link({ by: $("by").value, prefix: $("prefix").value.trim(), limit: $("limit").value });
});
$("by").addEventListener("change", () => $("which").requestSubmit());
$("limit").addEventListener("change", () => $("which").requestSubmit());

$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  sessionStorage.setItem("token", token);
  $("sign-in").hidden = true;
  $("refused").textContent = "";
  start();
});

addEventListener("hashchange", () => go());

async function start() {
  try {
    const info = await json("/v1/info");
    $("process").textContent = `${info.name} ${info.version}, process ${info.pid}`;
    tables = await json("/v1/tables");
  } catch (error) {
    if (!lost(error)) {
      await pause(1000);
      start();
    }
    return;
  }
  watch(
    "/v1/events",
    (now) => {
      const unknown = now.tables.some((table) => !tables.some((known) => known.name === table.name));
      if (unknown) json("/v1/tables").then((all) => (tables = all), lost);
      showTables(now);
      showPeers(now);
      before = now;
      say("live", "good");
    },
    lost,
  );
  go();
}

start();
