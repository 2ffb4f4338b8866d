// Asks the process that served this page, and says when it cannot.

let csrf = null;
/** What pages ask, by their names: when that was answered last, and since when and why it is not. */
const asked = new Map();

class Unknown extends Error {}

/** `limit` is how long what is only read may take, in milliseconds. */
async function ask(path, body, limit = 15000) {
  const request = { cache: "no-store", credentials: "same-origin", headers: {} };
  if (body !== undefined) {
    request.method = "POST";
    request.headers["content-type"] = "application/json";
    if (csrf) request.headers["x-weir-csrf"] = csrf;
    request.body = JSON.stringify(body);
  } else {
    // One that does not answer is not waited for.
    request.signal = AbortSignal.timeout(limit);
  }
  let answer;
  try {
    answer = await fetch(path, request);
  } catch (error) {
    if (body !== undefined) throw new Error("Nobody answers: whether it was done is not known.");
    throw new Error(error.name === "TimeoutError" ? "it does not answer" : "nobody answers");
  }
  const said = await answer.json().catch(() => null);
  if (answer.status === 401 && path !== "/api/login") throw new Unknown("Log in again.");
  if (!answer.ok) throw new Error((said && said.error) || `it answers ${answer.status}`);
  return said;
}

const clock = (at) => at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** What is shown is as it is now, or it is said since when it is not. */
function current(name, isCurrent, why) {
  const known = asked.get(name) || { since: new Date(), lost: null };
  if (isCurrent) Object.assign(known, { since: new Date(), lost: null });
  else Object.assign(known, { lost: known.lost || known.since, why });
  asked.set(name, known);
  sayWhetherCurrent();
}

function sayWhetherCurrent() {
  const missing = [shown, "cluster"].map((name) => asked.get(name)).find((known) => known && known.lost);
  const live = byId("live");
  mark(live, "data-is", missing ? "lost" : "live");
  say(live, missing ? "not live" : "live");
  byId("stale").hidden = !missing;
  say(byId("stale"), missing ? `Not reached since ${clock(missing.lost)}: ${missing.why}. What is shown is as it was then.` : "");
  mark(byId("main"), "data-stale", missing ? "" : null);
}

/** Asks at once, and again so many milliseconds after each answer, while somebody looks. */
class Poll {
  constructor(name, every, run) {
    Object.assign(this, { name, every, run, timer: null, isWanted: false, isAsking: false });
    document.addEventListener("visibilitychange", () => { if (!document.hidden && this.isWanted) this.now(); });
  }

  start() {
    this.isWanted = true;
    return this.now();
  }

  stop() {
    this.isWanted = false;
    clearTimeout(this.timer);
  }

  async now() {
    clearTimeout(this.timer);
    if (this.isAsking) return;
    this.isAsking = true;
    try {
      await this.run();
      current(this.name, true);
    } catch (error) {
      if (error instanceof Unknown) leave("");
      else current(this.name, false, error.message);
    }
    this.isAsking = false;
    clearTimeout(this.timer);
    if (this.isWanted && !document.hidden) this.timer = setTimeout(() => this.now(), this.every);
  }
}

/** Tells what came of something. What went wrong stays until it has been read. */
function tell(text, isBad) {
  if ([...byId("said").children].some((line) => line.firstChild.textContent === text)) return;
  const close = el("button", { type: "button", class: "plain", "aria-label": "Close", click: () => line.remove() }, "✕");
  const line = el("p", { class: isBad ? "bad" : null, role: isBad ? "alert" : null }, el("span", {}, text), close);
  byId("said").append(line);
  if (!isBad) setTimeout(() => line.remove(), 12000);
}

/** Asks whether it is meant, and has it done. `text` is elements; `body` what is sent, or says it when it is. */
function confirmed({ title, text, yes, path, body }) {
  const dialog = byId("confirm");
  say(byId("confirm-title"), title);
  byId("confirm-text").replaceChildren(...text);
  say(byId("confirm-yes"), yes);
  dialog.returnValue = "no";
  dialog.onclose = async () => {
    if (dialog.returnValue !== "yes") return;
    const request = ask(path, typeof body === "function" ? body() : body);
    views.cluster.poll.now();
    try {
      tell(tidy((await request).done));
    } catch (error) {
      if (error instanceof Unknown) return leave("");
      tell(tidy(error.message), true);
    }
    for (const name of ["cluster", shown]) views[name].poll.now();
  };
  dialog.showModal();
}

const list = (...lines) => el("ul", {}, ...lines.filter(Boolean).map((line) => el("li", {}, line)));
