// Looks at the web console in headless Chromium, as an operator does: logs in, opens each page, has a tablet made primary, and leaves
// pictures of it all, wide and narrow, light and dark. Whatever a page complains of ends it. See console.sh.
//
// usage: node console.js CHROMIUM URL PASSWORD [DIRECTORY FOR PICTURES]
"use strict";

const { spawn } = require("node:child_process");
const { mkdirSync, mkdtempSync, rmSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");

const [chromium, url, password, pictures] = process.argv.slice(2);
const PAGES = ["cluster", "statements", "sessions", "failovers"];
const SIZES = { wide: [1400, 900], narrow: [360, 740] };
/** By then whatever is waited for is there, in milliseconds. */
const TIME_MAX = 60_000;

/** A browser, spoken to over pipes: nobody else on the machine can. */
class Browser {
  constructor(program) {
    this.profile = mkdtempSync(join(tmpdir(), "weir-console-"));
    const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--ignore-certificate-errors",
      `--user-data-dir=${this.profile}`, "--remote-debugging-pipe", "about:blank"];
    this.process = spawn(program, flags, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    this.process.once("exit", () => this.lost && this.lost(new Error("the browser has ended")));
    [this.number, this.waiting, this.complaints] = [0, new Map(), []];
    let rest = "";
    this.process.stdio[4].setEncoding("utf8").on("data", (text) => {
      const messages = (rest + text).split("\0");
      rest = messages.pop();
      messages.forEach((message) => this.hear(JSON.parse(message)));
    });
  }

  hear({ id, result, error, method, params }) {
    const complaint = method === "Runtime.exceptionThrown" ? params.exceptionDetails.exception?.description || params.exceptionDetails.text
      : method === "Log.entryAdded" && params.entry.level === "error" ? `${params.entry.text} ${params.entry.url || ""}`
        : method === "Network.requestWillBeSent" && !/^(data:|about:)/.test(params.request.url) && new URL(params.request.url).host !== new URL(url).host
          ? `asks elsewhere: ${params.request.url}` : null;
    // A browser says so itself of what is refused, and cut off, on purpose.
    if (complaint && !/status of 401|ERR_INTERNET_DISCONNECTED/.test(complaint)) this.complaints.push(complaint);
    if (!this.waiting.has(id)) return;
    const [resolve, reject] = this.waiting.get(id);
    this.waiting.delete(id);
    if (error) reject(new Error(error.message));
    else resolve(result);
  }

  send(method, params = {}) {
    const id = ++this.number;
    this.process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId: this.session })}\0`);
    return new Promise((resolve, reject) => {
      this.lost = reject;
      this.waiting.set(id, [resolve, reject]);
    });
  }

  async open() {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    this.session = (await this.send("Target.attachToTarget", { targetId, flatten: true })).sessionId;
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await this.send(`${domain}.enable`);
    await this.send("Page.navigate", { url });
  }

  async run(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description || exceptionDetails.text}`);
    return result.value;
  }

  async until(what, expression) {
    const begun = Date.now();
    while (!(await this.run(expression).catch(() => false))) {
      if (Date.now() - begun > TIME_MAX) throw new Error(`not in time: ${what}\n${await this.run("document.body.innerText")}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async key(key, modifiers = 0) {
    const codes = { Tab: 9, Enter: 13, Escape: 27 };
    const event = { key, code: key, windowsVirtualKeyCode: codes[key], modifiers, text: key === "Enter" ? "\r" : undefined };
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...event });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
  }

  async look(size, theme) {
    const [width, height] = SIZES[size];
    await this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: size === "narrow" });
    await this.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: theme }] });
  }

  async picture(name) {
    // What is wider than its window has to be shifted to be read.
    const over = await this.run("document.documentElement.scrollWidth - innerWidth");
    if (over > 0) throw new Error(`${name}: ${over} pixels wider than the window`);
    if (!pictures) return;
    const { data } = await this.send("Page.captureScreenshot", { format: "png", captureBeyondViewport: false });
    writeFileSync(join(pictures, `${name}.png`), Buffer.from(data, "base64"));
  }

  async close() {
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.lost = null;
    this.process.kill();
    await ended;
    // Its helpers may be about to end. What they leave is in the directory of what is temporary.
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

const visible = (selector) => `(() => { const it = document.querySelector(${JSON.stringify(selector)}); return !!it && it.checkVisibility(); })()`;

async function logIn(browser) {
  await browser.until("the door", visible("#login"));
  const type = (text) => browser.send("Input.insertText", { text });
  await browser.run("document.querySelector('#password').focus()");
  await type("not this one");
  await browser.key("Enter");
  await browser.until("it is refused", "document.querySelector('#refused').textContent.includes('not the password')");
  await browser.run("document.querySelector('#password').select()");
  await type(password);
  await browser.key("Enter");
  await browser.until("it is let in", visible("#cluster table"));
}

async function lookAtAll(browser) {
  for (const [size, theme] of [["wide", "light"], ["wide", "dark"], ["narrow", "light"], ["narrow", "dark"]]) {
    await browser.look(size, theme);
    for (const page of PAGES) {
      await browser.run(`location.hash = ${JSON.stringify(`/${page}`)}`);
      await browser.until(page, `!document.querySelector(${JSON.stringify(`#${page}`)}).hidden && document.querySelector("#live").dataset.is === "live"`);
      await browser.until(`${page} has something`, `[...document.querySelectorAll(${JSON.stringify(`#${page} :is(table, article, .empty)`)})].some((it) => it.checkVisibility())`);
      await new Promise((resolve) => setTimeout(resolve, 2500));
      await browser.picture(`${page}-${size}-${theme}`);
    }
  }
}

/** With keys alone, and what it says before. */
async function makePrimary(browser) {
  await browser.look("wide", "light");
  await browser.run("location.hash = '/cluster'");
  const button = "[...document.querySelectorAll('#cluster td.does button')].find((it) => it.textContent === 'Make primary' && it.checkVisibility() && !it.disabled)";
  await browser.until("a tablet may be made primary", `!!${button}`);
  const wanted = await browser.run(`(() => { const it = ${button}; it.focus(); return it.getAttribute("aria-label").split(": ")[1]; })()`);
  await browser.key("Enter");
  await browser.until("it is asked whether that is meant", "document.querySelector('#confirm').open");
  await browser.picture("confirm-wide-light");
  await browser.key("Escape");
  await browser.until("it was not meant", "!document.querySelector('#confirm').open");
  await browser.key("Enter");
  await browser.until("it is asked again", "document.querySelector('#confirm').open");
  await browser.key("Tab");
  const focused = await browser.run("document.activeElement.id");
  if (focused !== "confirm-yes") throw new Error(`the next after Cancel is ${focused}`);
  await browser.key("Enter");
  await browser.until("it is under way, or done", `!document.querySelector("#under-way").hidden || document.querySelector("#said").textContent.includes("is primary")`);
  await browser.until(`${wanted} is primary`, `[...document.querySelectorAll("#cluster .figures dd")][0].textContent === ${JSON.stringify(wanted)}`);
  await browser.picture("changed-wide-light");
  await browser.run("location.hash = '/failovers'");
  await browser.until("it is told how", `document.querySelector("#failovers article h3")?.textContent.startsWith(${JSON.stringify(`${wanted} became primary`)})`);
  await browser.picture("failovers-wide-light");
  await browser.run(`location.href = document.querySelector("#failovers article a").href`);
  await browser.until("it is drawn", `document.title.startsWith("Term ") && document.querySelector("#legend").textContent.includes("violation")`);
  await browser.picture("trace-wide-light");
  await browser.run("history.back()");
  await browser.until("it is let in without a password", visible("#failovers article"));
}

/** What is old is not shown as if it were new. */
async function cutOff(browser) {
  const offline = (is) => browser.send("Network.emulateNetworkConditions", { offline: is, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  await browser.look("wide", "light");
  await browser.run("location.hash = '/cluster'");
  await offline(true);
  await browser.until("it is said that it is not reached", "document.querySelector('#stale').textContent.startsWith('Not reached since')");
  await browser.picture("lost-wide-light");
  await offline(false);
  await browser.until("it is reached again", "document.querySelector('#stale').hidden && document.querySelector('#live').dataset.is === 'live'");
}

async function main() {
  if (pictures) mkdirSync(pictures, { recursive: true });
  const browser = new Browser(chromium);
  try {
    await browser.open();
    await browser.look("wide", "light");
    await browser.until("the door", visible("#login"));
    await browser.picture("door-wide-light");
    await logIn(browser);
    await makePrimary(browser);
    await lookAtAll(browser);
    await cutOff(browser);
    await browser.run("document.querySelector('#logout').click()");
    await browser.until("it is left", visible("#login"));
    if (browser.complaints.length > 0) throw new Error(`the browser complains:\n${browser.complaints.join("\n")}`);
  } finally {
    await browser.close().catch(() => null);
  }
  console.log(`${url}: shown, and a primary was changed`);
}

main().catch((error) => {
  console.error(String(error.message || error));
  process.exit(1);
});
