// Who is connected, and what each is at.

function sessionsView() {
  const view = { last: null };
  const search = el("input", { type: "search", placeholder: "Filter by any text", "aria-label": "Filter sessions", input: () => view.last && fill() });
  const idle = el("input", { type: "checkbox", change: () => view.last && fill() });
  const said = el("p", { class: "soft", role: "status" });
  const none = el("p", { class: "empty panel", hidden: true });
  const key = ({ gateway, id }) => `${gateway} ${id}`;
  const sessions = table("Sessions", [
    { name: "Session", title: true, number: false, show: (cell, it) => mark(say(cell, it.id), "title", `of gateway ${it.gateway}`) },
    { name: "User", show: (cell, it) => say(cell, it.user || "logs in") },
    { name: "From", nowrap: true, show: (cell, it) => say(cell, it.host) },
    { name: "Schema", show: (cell, it) => say(cell, it.schema || "") },
    { name: "At", nowrap: true, show: (cell, it) => say(cell, it.command === "Sleep" ? "idle" : it.state || it.command) },
    { name: "For", number: true, show: (cell, it) => say(cell, age(it.seconds)) },
    { name: "Connected", number: true, show: (cell, it) => say(cell, age(it.connected_seconds)) },
    { name: "Gateway", show: (cell, it) => say(cell, it.gateway) },
    { name: "Statement", wide: true, show: (cell, it) => {
      const text = within(cell, folded);
      say(text, it.info);
      text.hidden = it.info === "";
    } },
    { name: "", does: true, show: (cell, it) => mark(within(cell, () => el("button", { type: "button", click: () => end(cell.its) }, "End")), "aria-label", `End session ${it.id}`) && (cell.its = it) },
  ]);
  byId("sessions").append(
    el("div", { class: "row" }, el("h2", {}, "Sessions"), said, el("label", {}, idle, " with idle ones"), el("div", { class: "filter" }, search)),
    none, sessions.node);

  function end({ gateway, id, user, host, command, info }) {
    const choice = (value, text, checked) => el("label", {}, el("input", { type: "radio", name: "what", value, checked }), ` ${text}`);
    const runs = command !== "Sleep";
    const whose = el("p", {}, `It is ${user || "nobody yet"} from ${host}${runs ? ", and runs:" : ", and runs nothing."}`);
    confirmed({
      title: `End session ${id}?`,
      text: [whose, ...(info && runs ? [el("blockquote", { class: "mono" }, info)] : []),
        choice("connection", "Its connection: what it has not committed is rolled back", !runs || null),
        choice("query", "Only what it runs: it stays connected", runs || null)],
      yes: `End it`,
      path: "/api/kill",
      body: () => ({ gateway, id, query: byId("confirm-text").querySelector("input:checked").value === "query" }),
    });
  }

  function fill() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = (it) => `${it.id} ${it.user} ${it.host} ${it.schema || ""} ${it.command} ${it.state} ${it.gateway} ${it.info}`.toLowerCase();
    const isWanted = (it) => (idle.checked || it.command !== "Sleep") && words.every((word) => text(it).includes(word));
    const wanted = view.last.sessions.filter(isWanted);
    sessions.fill(wanted, key);
    sessions.node.hidden = wanted.length === 0;
    none.hidden = wanted.length > 0;
    say(none, view.last.count === 0 ? "Nobody is connected." : words.length ? "No session has that." : "Nobody runs anything at the moment.");
    const { count: all, idle: waiting, silent, sessions: sent } = view.last;
    const cut = sent.length < all ? `, the first ${sent.length} of them here` : "";
    const quiet = silent.map(({ name, why }) => `; ${name} does not tell: ${why}`).join("");
    say(said, `${plural(all, "session")}, ${whole(waiting)} idle${cut}${quiet}`);
  }

  view.poll = new Poll("sessions", 2000, async () => {
    view.last = await ask("/api/sessions");
    fill();
  });
  return view;
}
