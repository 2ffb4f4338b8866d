// The cluster as it is: who is primary, how far the others are behind, what goes where, and what can be done about it.

/** Samples of a line: two minutes of them. */
const SAMPLES = 60;
const traffic = new Map();

function remember(key, value) {
  const known = traffic.get(key) || [];
  known.push(value);
  if (known.length > SAMPLES) known.shift();
  traffic.set(key, known);
  return known;
}

function spark() {
  const drawing = svg("svg", { class: "spark", viewBox: `0 0 ${SAMPLES - 1} 20`, preserveAspectRatio: "none", "aria-hidden": "true" });
  drawing.append(svg("path", { class: "under" }), svg("path", { fill: "none" }));
  return drawing;
}

function draw(drawing, samples) {
  const top = Math.max(...samples, 1);
  const x = (at) => SAMPLES - samples.length + at;
  const line = samples.map((value, at) => `${x(at)} ${(19 - (value / top) * 17).toFixed(2)}`).join("L");
  mark(drawing.children[0], "d", samples.length > 1 ? `M${x(0)} 20L${line}L${SAMPLES - 1} 20Z` : "M0 0");
  mark(drawing.children[1], "d", samples.length > 1 ? `M${line}` : "M0 0");
}

const isPrimary = (tablet) => tablet.role === "PRIMARY";
const serves = (tablet) => tablet.state === "serves";
const isOut = (tablet) => tablet.drained;

/** What is to be said of a tablet in a few words, and how bad it is. */
function condition(tablet) {
  if (isOut(tablet)) return [tablet.rotation || "out of service", "soft"];
  if (!serves(tablet)) return [tablet.note || tablet.state, "bad"];
  if (tablet.note) return [tablet.note, "warn"];
  if (String(tablet.rotation).startsWith("out")) return [tablet.rotation, "warn"];
  return ["serves", "good"];
}

function lag(tablet) {
  if (isPrimary(tablet)) return "";
  return tablet.lag_seconds === null || tablet.lag_seconds === undefined ? "lag unknown" : `${span(tablet.lag_seconds)} behind`;
}

function pool() {
  return el("div", { class: "pool", "aria-hidden": "true" }, el("i"), el("i"), el("i"));
}

function fillPool(node, { busy, idle, waiting }) {
  [busy, idle, waiting].forEach((share, at) => { node.children[at].style.flexGrow = share; });
}

const poolOf = (tablet) => tablet.pool || { busy: 0, idle: 0, opening: 0, waiting: 0 };

function poolWords({ busy, idle, opening, waiting }) {
  const more = [opening && `${opening} opening`, waiting && `${waiting} waiting`].filter(Boolean).join(", ");
  return `${busy} of ${busy + idle} busy${more ? `, ${more}` : ""}`;
}

function node() {
  return el("li", { class: "node" },
    el("p", { class: "name" }, el("span"), el("b", { class: "badge" })),
    el("p", { class: "state" }),
    el("p", { class: "facts" }, el("span"), spark(), el("span")));
}

function updateGateway(card, { name, status, why }) {
  const [head, state, facts] = card.children;
  mark(say(head.children[0], name), "title", name);
  say(head.children[1], "GATEWAY");
  card.classList.toggle("ill", !status);
  say(state, status ? `${status.mysql} in ${status.cell}` : why);
  state.className = status ? "state soft" : "state bad";
  say(facts.children[0], status ? plural(status.clients, "client") : "");
  say(facts.children[2], status ? `${few(status.queries_per_second)} q/s` : "");
  draw(facts.children[1], remember(`gateway ${name}`, status ? status.queries_per_second : 0));
}

function updateTablet(card, tablet) {
  if (card.children.length < 4) card.append(pool());
  const [head, state, facts, bar] = card.children;
  const [words, how] = condition(tablet);
  mark(say(head.children[0], short(tablet.tablet)), "title", `${tablet.tablet} in ${tablet.cell}`);
  say(head.children[1], isOut(tablet) ? "OUT" : tablet.role);
  head.children[1].className = isPrimary(tablet) ? "badge primary" : "badge";
  card.className = `node${isPrimary(tablet) ? " primary" : ""}${how === "bad" ? " ill" : ""}${isOut(tablet) ? " out" : ""}`;
  say(state, words);
  state.className = `state ${how}`;
  say(facts.children[0], isPrimary(tablet) ? plural(tablet.running, "running", "running") : lag(tablet));
  say(facts.children[2], `${few(tablet.queries_per_second)} q/s`);
  draw(facts.children[1], remember(tablet.tablet, tablet.queries_per_second));
  mark(bar, "title", `Pool: ${poolWords(poolOf(tablet))}`);
  fillPool(bar, poolOf(tablet));
}

/** Lines between those above and those below, as wide as what goes through them; and from the primary to those that follow it. */
function wire(map, snapshot) {
  const [above, wires, below, streams] = map.children;
  const tops = new Set([...below.children].map((card) => card.offsetTop));
  const isFolded = tops.size > 1 || above.offsetWidth < 620 || new Set([...above.children].map((card) => card.offsetTop)).size > 1;
  map.classList.toggle("folded", isFolded);
  if (isFolded) return;
  const left = map.getBoundingClientRect().left;
  const middle = (card) => { const box = card.getBoundingClientRect(); return box.left + box.width / 2 - left; };
  const width = (rate) => (1 + 1.6 * Math.log10(1 + rate)).toFixed(1);
  const lines = [];
  const ends = [...above.children, ...below.children].map(middle);
  if (ends.length > 1) lines.push([`M${Math.min(...ends)} 22H${Math.max(...ends)}`, 1.5, false]);
  snapshot.gateways.forEach(({ status }, at) => {
    lines.push([`M${middle(above.children[at])} 2V22`, width(status ? status.queries_per_second : 0), false, !status]);
  });
  snapshot.tablets.forEach((tablet, at) => {
    lines.push([`M${middle(below.children[at])} 22V42`, width(tablet.queries_per_second), isPrimary(tablet), !serves(tablet) || isOut(tablet)]);
  });
  each(wires, lines.map((line, at) => ({ at, line })), ({ at }) => at, () => svg("path"), (path, { line: [d, w, own, idle] }) => {
    mark(mark(mark(path, "d", d), "stroke-width", idle ? 1.5 : w), "class", `${own ? "own" : ""}${idle ? " idle" : ""}`);
  });
  const source = snapshot.tablets.findIndex(isPrimary);
  const followers = snapshot.tablets.map((tablet, at) => ({ tablet, at })).filter(({ at }) => source >= 0 && at !== source);
  const from = source >= 0 ? middle(below.children[source]) : 0;
  const drawn = followers.flatMap(({ tablet, at }) => {
    const to = middle(below.children[at]);
    const isKnown = serves(tablet) && typeof tablet.lag_seconds === "number";
    return [
      { key: `line ${at}`, d: `M${from} 2V18H${to}V8`, kind: isKnown ? "" : "idle" },
      { key: `head ${at}`, d: `M${to} 2l-4 7h8z`, kind: "head" },
    ];
  });
  each(streams, drawn, ({ key }) => key, () => svg("path", { "stroke-width": 1.5 }), (path, { d, kind }) => mark(mark(path, "d", d), "class", kind));
}

function figures(snapshot) {
  const { holder, gateways, tablets } = snapshot;
  const answering = gateways.filter(({ status }) => status).map(({ status }) => status);
  const rate = sum(answering, (status) => status.queries_per_second);
  const policies = { none: "one server has it", semi_sync: "a replica has it", cross_cell: "another cell has it" };
  const policy = holder && holder.policy;
  const reigning = tablets.find((tablet) => isPrimary(tablet) && serves(tablet));
  const primary = holder ? holder.primary : reigning && reigning.tablet;
  const term = holder ? holder.term : reigning && reigning.term;
  return [
    ["Primary", primary ? short(primary) : "none", primary ? "" : "bad"],
    ["Term", term ? whole(term) : "–", ""],
    ["Statements", `${few(rate)} /s`, ""],
    ["Clients", whole(sum(answering, (status) => status.clients)), ""],
    ["Running", whole(sum(tablets, (tablet) => tablet.running)), ""],
    ["A write is safe once", policy ? policies[policy.durability] || policy.durability : "not known", "words"],
    ["Failover by", holder ? holder.name : "nobody", holder ? "words" : "words warn"],
  ];
}

/** What a process says that changes no primary. */
const WITHOUT = "it runs without failover";

function troubles({ trouble, holder, orchestrators }) {
  // One without failover has been told so.
  const lines = trouble.filter((line) => !line.includes(WITHOUT));
  if (holder) {
    lines.push(...holder.quarantined.map((it) => `${short(it.tablet)} stays out until somebody has looked at it: ${it.why}`));
    lines.push(...holder.problems.map((it) => `${short(it.tablet)}: ${it.code.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase()} (${it.code})`));
  } else if (orchestrators.some(({ status }) => status)) {
    lines.push("No orchestrator holds the shard's lock: nobody would replace a primary that dies.");
  }
  return lines;
}

const may = (snapshot) => snapshot.holder && !snapshot.under_way;

function wantsPrimary(tablet, snapshot) {
  const old = snapshot.holder.primary;
  confirmed({
    title: `Make ${short(tablet.tablet)} primary?`,
    text: [list(
      old && `What runs on ${short(old)} may end first. If that takes too long, the change is declined and everything stays as it is.`,
      "What clients begin meanwhile waits: they see a pause and no error. Nothing that was acknowledged is lost.",
      old ? `${short(old)} becomes a replica, and term ${snapshot.holder.term + 1} begins.` : `Term ${snapshot.holder.term + 1} begins.`)],
    yes: `Make ${short(tablet.tablet)} primary`,
    path: "/api/reparent",
    body: { tablet: tablet.tablet },
  });
}

function wantsOut(tablet, snapshot) {
  const left = snapshot.tablets.filter((other) => other.tablet !== tablet.tablet && !isOut(other) && serves(other));
  confirmed({
    title: `Take ${short(tablet.tablet)} out of service?`,
    text: [list(
      isPrimary(tablet) && "Another becomes primary first, in order: clients see a pause and no error, and nothing is lost.",
      "Nothing new goes there, and what runs there may end. It is said here when its server may be stopped.",
      `In service then: ${left.length ? left.map((other) => short(other.tablet)).join(", ") : "none"}.`,
      "It stays out, through restarts as well, until somebody puts it back.")],
    yes: `Take ${short(tablet.tablet)} out`,
    path: "/api/drain",
    body: { tablet: tablet.tablet },
  });
}

function wantsBack(tablet) {
  confirmed({
    title: `Put ${short(tablet.tablet)} back into service?`,
    text: [list("Its server is started if Weir keeps it and it was stopped.", "It follows the primary, and takes reads again.")],
    yes: `Put ${short(tablet.tablet)} back`,
    path: "/api/undrain",
    body: { tablet: tablet.tablet },
  });
}

/** The buttons of a tablet. They are made once, and ask for what holds when they are pressed. */
function buttons(cell, tablet, view) {
  const box = within(cell, () => {
    const find = () => view.last.tablets.find((other) => other.tablet === tablet.tablet);
    const button = (text, does) => el("button", { type: "button", click: () => find() && may(view.last) && does(find(), view.last) }, text);
    return el("span", {}, button("Make primary", wantsPrimary), el("span", {}, " "), button("Take out", wantsOut), button("Put back", wantsBack));
  });
  const [first, , out, back] = box.children;
  const holder = view.last.holder;
  const can = Boolean(may(view.last));
  first.hidden = !holder || isPrimary(tablet) || isOut(tablet) || !holder.cohort.includes(tablet.tablet);
  out.hidden = !holder || isOut(tablet);
  back.hidden = !holder || !isOut(tablet);
  for (const [button, what] of [[first, "Make primary"], [out, "Take out"], [back, "Put back"]]) {
    button.disabled = !can;
    mark(button, "aria-label", `${what}: ${short(tablet.tablet)}`);
  }
}

function clusterView() {
  const view = { last: null };
  const trouble = el("ul", { class: "troubles", role: "alert", hidden: true });
  const numbers = el("dl", { class: "figures" });
  const map = el("div", { class: "map", role: "group", "aria-label": "Gateways, and the tablets that they use" },
    el("ul"), svg("svg", { class: "wires", "aria-hidden": "true" }), el("ul"), svg("svg", { class: "streams", "aria-hidden": "true" }));
  const where = new Map();
  const tablets = table("Tablets", [
    { name: "Tablet", title: true, show: (cell, it) => mark(say(cell, short(it.tablet)), "title", it.tablet) },
    { name: "Role", show: (cell, it) => say(cell, it.role.toLowerCase()) },
    { name: "Cell", show: (cell, it) => say(cell, it.cell) },
    { name: "State", words: true, show: (cell, it) => { const [words, how] = condition(it); say(cell, words); cell.className = `words ${how}`; } },
    { name: "Behind", number: true, show: (cell, it) => say(cell, isPrimary(it) ? "–" : it.lag_seconds === null || it.lag_seconds === undefined ? "unknown" : span(it.lag_seconds)) },
    { name: "Statements/s", number: true, show: (cell, it) => say(cell, few(it.queries_per_second)) },
    { name: "Latency", number: true, show: (cell, it) => say(cell, it.latency_us ? span(it.latency_us / 1e6) : "–") },
    { name: "Pool", poolcell: true, show: (cell, it) => {
      const box = within(cell, () => el("div", {}, el("span"), pool()));
      say(box.children[0], poolWords(poolOf(it)));
      fillPool(box.children[1], poolOf(it));
    } },
    { name: "Server", show: (cell, it) => { const at = where.get(it.tablet); say(cell, at ? (at.runs === false ? "its process does not run" : at.mysql || "") : ""); } },
    { name: "", does: true, show: (cell, it) => buttons(cell, it, view) },
  ]);
  const processes = table("Processes", [
    { name: "Process", title: true, show: (cell, it) => say(cell, it.name) },
    { name: "What", show: (cell, it) => say(cell, it.what) },
    { name: "State", words: true, show: (cell, it) => { say(cell, it.state); cell.className = `words ${it.how}`; } },
    { name: "Clients", number: true, show: (cell, it) => say(cell, it.status && it.what === "gateway" ? whole(it.status.clients) : "") },
    { name: "Refused", number: true, show: (cell, it) => say(cell, it.status && it.what === "gateway" ? whole(it.status.clients_refused) : "") },
    { name: "Runs for", number: true, show: (cell, it) => say(cell, it.status && it.what === "gateway" ? span(it.status.uptime_seconds) : "") },
    { name: "Version", show: (cell, it) => say(cell, it.status && it.status.binary ? it.status.binary : "") },
  ]);
  const none = el("p", { class: "empty panel", hidden: true }, "No gateway has said yet which tablets there are.");
  byId("cluster").append(trouble, numbers, map, none, el("h2", {}, "Tablets"), tablets.node, el("h2", {}, "Processes"), processes.node);

  view.poll = new Poll("cluster", 2000, async () => {
    const snapshot = await ask("/api/cluster");
    news(view.last, snapshot);
    view.last = snapshot;
    say(byId("shard"), snapshot.shard);
    const doing = snapshot.under_way;
    byId("under-way").hidden = !doing;
    say(byId("under-way"), doing ? `Under way: ${tidy(doing.what)}…` : "");
    const lines = troubles(snapshot);
    trouble.hidden = lines.length === 0;
    each(trouble, lines, (line) => line, (line) => el("li", {}, line));
    each(numbers, figures(snapshot), ([name]) => name, ([name]) => el("div", {}, el("dt", {}, name), el("dd")), (box, [, value, how]) => {
      say(box.children[1], value);
      box.children[1].className = how;
    });
    where.clear();
    snapshot.processes.forEach((at) => where.set(at.tablet, at));
    each(map.children[0], snapshot.gateways, ({ name }) => name, node, updateGateway);
    each(map.children[2], snapshot.tablets, ({ tablet }) => tablet, node, updateTablet);
    none.hidden = snapshot.tablets.length > 0;
    tablets.node.hidden = snapshot.tablets.length === 0;
    tablets.fill(snapshot.tablets, ({ tablet }) => tablet);
    const gateway = ({ name, status, why }) => ({ name, status, what: "gateway", state: status ? "answers" : why, how: status ? "good" : "bad" });
    const orchestrator = ({ name, status, why }) => {
      if (!status && why.includes(WITHOUT)) return { name, status, what: "orchestrator", state: "none: no primary is changed here", how: "soft" };
      const state = !status ? why : status.holds_lock ? "answers, and holds the lock" : "answers, and stands by";
      return { name, status, what: "orchestrator", state, how: status ? "good" : "bad" };
    };
    processes.fill([...snapshot.gateways.map(gateway), ...snapshot.orchestrators.map(orchestrator)], ({ what, name }) => `${what} ${name}`);
    wire(map, snapshot);
  });
  addEventListener("resize", () => { if (view.last && !byId("cluster").hidden) wire(map, view.last); });
  return view;
}

/** Says aloud what an operator must not miss. */
function news(before, now) {
  const was = before && before.holder, is = now.holder;
  if (was && is && is.primary && was.primary !== is.primary) tell(`${short(is.primary)} is primary in term ${is.term}`);
  if (was && is && was.primary && !is.primary) tell("There is no primary: one is being chosen.", true);
  if (was && is && was.term !== is.term && views.failovers) views.failovers.isOld = true;
}
