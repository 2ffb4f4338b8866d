// How primaries were changed: why, what was done, and what took how long. The same as `weir ctl explain-failover` tells.

/** The steps as the recording names them, in plain words. */
const STEPS = [
  ["from the first sign to the finding", "Until it was sure that something was wrong"],
  ["until it was acted upon", "Until it began to do something about it"],
  ["until the topology had the term", "Until the new term was written down"],
  ["until enough had promised, and one was chosen", "Until enough tablets had promised, and one was chosen"],
  ["until that was primary", "Until that one was primary"],
  ["until the others followed and the term was settled", "Until the others followed it"],
];

function failoversView() {
  const view = { isOld: true };
  const changes = el("div");
  const none = el("p", { class: "empty panel", hidden: true });
  const again = el("button", { type: "button", click: () => { view.isOld = true; view.poll.now(); } }, "Read again");
  byId("failovers").append(
    el("div", { class: "row" }, el("h2", {}, "Changes of primary"), el("p", { class: "soft" }, "the latest first; times are UTC"), again), none, changes);

  view.poll = new Poll("failovers", 2000, async () => {
    if (!view.isOld) return;
    again.disabled = true;
    try {
      const told = await ask("/api/failovers", undefined, 90000);
      // One that goes on is asked about for half a minute: if another orchestrator ends it, this one never tells.
      const goesOn = told.changes.length > 0 && !told.changes[0].settled;
      view.times = goesOn ? (view.times || 0) + 1 : 0;
      view.isOld = goesOn && view.times % 15 !== 0;
      none.hidden = told.changes.length > 0;
      say(none, told.why || "No change of primary is recorded yet.");
      // A change that goes on is told anew.
      const times = (clients) => clients.map(({ gateway, seconds }) => `${gateway} ${seconds}`).join();
      const key = ({ orchestrator, term, begun, happened, tablets, clients, settled }) =>
        `${orchestrator} ${term} ${begun} ${happened.length} ${tablets.length} ${times(clients)} ${settled}`;
      const isFirst = (change) => change === told.changes[0];
      each(changes, told.changes, key, (change) => article(change, isFirst(change)));
    } finally {
      again.disabled = false;
    }
  });
  return view;
}

function article(change, isOpen) {
  const took = change.steps.find(({ step }) => step === "in all");
  const isPlanned = change.causes.some((cause) => cause.startsWith("somebody wants"));
  const its = STEPS.map(([step, words], at) => ({ words, number: at + 1, took: change.steps.find((it) => it.step === step) }));
  const steps = its.filter(({ took: it }) => it && it.seconds > 0);
  if (isPlanned) its[1].words = "Until what ran there had ended";
  const title = change.primary
    ? `${short(change.primary)} became primary in term ${change.term}`
    : `Term ${change.term} was begun, and nobody became primary in it`;
  const why = change.causes.length ? change.causes.map(tidy).join("; ") : "not recorded";
  return el("article", { class: "panel change", "aria-label": title },
    el("header", {},
      el("h3", {}, title),
      el("span", { class: change.settled ? "badge" : "badge warn" }, change.settled ? "settled" : "not settled here"),
      el("b", {}, took ? `${milliseconds(took.seconds)} in all` : ""),
      el("span", { class: "when soft" }, change.begun)),
    el("p", { class: "why" }, el("span", { class: "soft" }, "Why: "), why,
      el("span", { class: "soft" }, ` · by orchestrator ${change.orchestrator}`)),
    bar(steps),
    el("ol", { class: "steps" }, ...steps.map(({ words, number, took: { seconds } }) =>
      el("li", {}, el("i", { class: `k${number}`, "aria-hidden": "true" }), el("span", {}, words), el("b", {}, milliseconds(seconds))))),
    change.why ? el("p", { class: "why" }, el("span", { class: "soft" }, `Why ${short(change.primary)}: `), tidy(change.why)) : null,
    ...change.clients.map((client) => el("p", { class: "why" }, el("span", { class: "soft" }, `Clients of ${client.gateway}: `), felt(client))),
    el("p", {}, el("a", { href: `/trace?term=${change.term}`, target: "_blank", rel: "noopener" }, "Who said what to whom, drawn")),
    el("details", isOpen ? { open: true } : {},
      el("summary", {}, `What was seen, decided and done (${change.happened.length})`),
      el("ol", { class: "events" }, ...change.happened.map(event))),
    change.tablets.length === 0 ? null : el("details", {},
      el("summary", {}, `What the tablets were told and did (${change.tablets.length})`),
      el("ol", { class: "events" }, ...change.tablets.map(({ tablet, what, ...when }) => event({ ...when, what: `${tablet}: ${what}` })))));
}

/** What they felt, as their gateway has it. */
function felt({ seconds, without }) {
  if (without.length === 0) return "a primary took writes all the time";
  const isOver = without.every(({ until }) => until !== null);
  return `no primary took writes for ${milliseconds(seconds)}${isOver ? "" : ", as far as it is recorded"}`;
}

/** What took how long, side by side. What took next to nothing is seen as well. */
function bar(steps) {
  return el("div", { class: "bar", "aria-hidden": "true" }, ...steps.map(({ words, number, took: { seconds } }) => {
    const part = el("i", { class: `k${number}`, title: `${words}: ${milliseconds(seconds)}` });
    part.style.flexGrow = Math.max(seconds, 0.0001) * 1e4;
    return part;
  }));
}

function event({ seconds, kind, what }) {
  const sign = seconds < 0 ? "−" : "+";
  return el("li", { class: kind }, el("time", {}, `${sign}${Math.abs(seconds).toFixed(3)} s`), el("em", {}, kind), el("span", {}, tidy(what)));
}

/** Tablets by their short names. */
const tidy = (text) => text.replace(/\b([a-z][\w-]*?)-0{3,}(\d+)\b/g, "$1-$2");
