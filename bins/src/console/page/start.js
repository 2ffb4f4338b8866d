// The door, the pages, and what they look like.

const views = {};
let shown = "cluster";

const themes = { auto: ["Auto", "as the system has it"], light: ["Light", "light"], dark: ["Dark", "dark"] };

function stored(name, value) {
  // A browser may keep nothing.
  try {
    if (value === undefined) return localStorage.getItem(name);
    localStorage.setItem(name, value);
  } catch { /* then it is as the system has it */ }
  return null;
}

function setTheme(theme) {
  mark(document.documentElement, "data-theme", theme === "auto" ? null : theme);
  const [name, words] = themes[theme];
  mark(mark(say(byId("theme"), name), "title", `Colours: ${words}`), "aria-label", `Colours: ${words}`);
  stored("weir-theme", theme);
  byId("theme").onclick = () => {
    const names = Object.keys(themes);
    setTheme(names[(names.indexOf(theme) + 1) % names.length]);
  };
}

/** Shows the page that the address names. */
function route() {
  const wanted = location.hash.slice(2);
  if (views[wanted]) shown = wanted;
  for (const name of Object.keys(views)) byId(name).hidden = name !== shown;
  for (const link of document.querySelectorAll("nav a")) mark(link, "aria-current", link.hash === `#/${shown}` ? "page" : null);
  for (const [name, view] of Object.entries(views)) {
    // Who is primary is always said.
    if (name === shown) view.poll.start();
    else if (name !== "cluster") view.poll.stop();
  }
  sayWhetherCurrent();
  document.title = `${document.querySelector(`nav a[href="#/${shown}"]`).textContent} · Weir`;
}

function enter(begun) {
  csrf = begun.csrf;
  byId("door").hidden = true;
  byId("console").hidden = false;
  say(byId("about"), `${begun.program} ${begun.version}`);
  if (!views.cluster) {
    Object.assign(views, { cluster: clusterView(), statements: statementsView(), sessions: sessionsView(), failovers: failoversView() });
    addEventListener("hashchange", route);
  }
  views.cluster.poll.start();
  route();
}

function leave(why) {
  csrf = null;
  Object.values(views).forEach((view) => view.poll.stop());
  if (byId("confirm").open) byId("confirm").close("no");
  byId("console").hidden = true;
  byId("door").hidden = false;
  say(byId("refused"), why);
  byId("password").focus();
}

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = byId("password");
  const button = byId("login").querySelector("button");
  button.disabled = true;
  try {
    enter(await ask("/api/login", { password: field.value }));
    field.value = "";
    say(byId("refused"), "");
    byId("main").focus();
  } catch (error) {
    say(byId("refused"), error.message);
    field.select();
  }
  button.disabled = false;
});

byId("logout").addEventListener("click", async () => {
  // If nobody answers, the session ends by itself.
  await ask("/api/logout", {}).catch(() => null);
  location.reload();
});

setTheme(Object.hasOwn(themes, stored("weir-theme") || "") ? stored("weir-theme") : "auto");
ask("/api/session").then(enter, (error) => leave(error instanceof Unknown ? "" : error.message));
