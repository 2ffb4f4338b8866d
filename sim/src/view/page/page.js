"use strict";
// Draws the picture in #data: time runs to the right, each process has a lane.
const picture = JSON.parse(document.getElementById("data").textContent);
const canvas = document.getElementById("chart");
const pen = canvas.getContext("2d");
const tip = document.getElementById("tip");
const byId = (id) => document.getElementById(id);

const NAMES = 96, TOP = 52, BAR = 9, SPAN_MIN = 20;
const STATES = ["primary", "replica", "sees-primary", "sees-none", "up", "paused", "down"];
const STATE_TEXT = { "sees-primary": "gateway that knows a primary", "sees-none": "gateway that knows none", up: "up, without a role", "down": "down" };
const hidden = new Set(["operator"]);
let view = { from: picture.from, until: picture.until, scroll: 0 };
let filter = "", only = null, hovered = null, picked = null, colours = {}, lanes = [], drawn = [], labels = [];

// --- what is shown

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["page", "ink", "faint", "line", "lane", "panel", "message", "error", "lost", "picked", "violation", "fault", "fault-edge", ...STATES])
    colours[name] = style.getPropertyValue("--" + name).trim();
}

function arrange() {
  lanes = picture.lanes.map((lane, id) => ({ ...lane, id })).filter((lane) => !hidden.has(lane.part));
  const order = ["client", "gateway", "server", "operator"];
  lanes.sort((a, b) => order.indexOf(a.part) - order.indexOf(b.part) || a.id - b.id);
  const at = new Map(lanes.map((lane, row) => [lane.id, row]));
  const words = filter.toLowerCase().split(/\s*,\s*/).filter(Boolean);
  const fits = (arrow) => {
    if (only !== null && arrow.from !== only && arrow.to !== only) return false;
    const text = `${arrow.text} ${picture.lanes[arrow.from].name} ${picture.lanes[arrow.to].name}`.toLowerCase();
    return words.every((word) => text.includes(word));
  };
  drawn = picture.arrows.filter((arrow) => at.has(arrow.from) && at.has(arrow.to) && fits(arrow))
    .map((arrow) => ({ ...arrow, row: at.get(arrow.from), toRow: at.get(arrow.to) }));
  rows = at;
}
let rows = new Map();

const width = () => canvas.clientWidth, height = () => canvas.clientHeight;
const pitch = () => Math.max(24, Math.min(64, (height() - TOP - 12) / Math.max(lanes.length, 1)));
const x = (time) => NAMES + (time - view.from) / (view.until - view.from) * (width() - NAMES);
const y = (row) => TOP + (row + 0.5) * pitch() - view.scroll;
const timeAt = (px) => view.from + (px - NAMES) / (width() - NAMES) * (view.until - view.from);
const clock = (time) => {
  const digits = Math.max(0, Math.min(6, Math.ceil(1 - Math.log10((view.until - view.from) / 1e6 / 8))));
  return (time / 1e6).toFixed(digits) + " s";
};

// --- drawing

function draw() {
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width() * ratio) || canvas.height !== Math.round(height() * ratio)) {
    canvas.width = Math.round(width() * ratio);
    canvas.height = Math.round(height() * ratio);
  }
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width(), height());
  pen.font = "12px system-ui, 'DejaVu Sans', sans-serif";
  pen.textBaseline = "middle";
  labels = [];
  pen.save();
  pen.beginPath();
  pen.rect(NAMES, 0, width() - NAMES, height());
  pen.clip();
  drawLanes();
  drawFaults();
  drawArrows();
  drawSpans();
  drawViolations();
  pen.restore();
  drawNames();
  drawTimes();
}

function drawLanes() {
  lanes.forEach((_, row) => {
    if (row % 2) return;
    pen.fillStyle = colours.lane;
    pen.fillRect(NAMES, y(row) - pitch() / 2, width(), pitch());
  });
}

function drawFaults() {
  for (const fault of picture.faults) {
    const left = x(fault.from), right = Math.max(x(fault.until), left + 2);
    if (right < NAMES || left > width()) continue;
    for (const lane of fault.lanes) {
      if (!rows.has(lane)) continue;
      pen.fillStyle = colours.fault;
      pen.fillRect(left, y(rows.get(lane)) - pitch() / 2, right - left, pitch());
      pen.fillStyle = colours["fault-edge"];
      pen.fillRect(left, y(rows.get(lane)) - pitch() / 2, 1.5, pitch());
    }
  }
}

function drawSpans() {
  for (const span of picture.spans) {
    if (!rows.has(span.lane)) continue;
    const left = Math.max(x(span.from), NAMES), right = Math.min(x(span.until), width()), top = y(rows.get(span.lane)) - BAR / 2;
    if (right < NAMES || left > width()) continue;
    pen.fillStyle = termColour(span);
    pen.fillRect(left, top, Math.max(right - left, 1), BAR);
    if (span.term > 0 && right - left > 60) {
      pen.fillStyle = colours.faint;
      pen.font = "10px system-ui, 'DejaVu Sans', sans-serif";
      pen.fillText("term " + span.term, left + 3, top + BAR + 7);
      pen.font = "12px system-ui, 'DejaVu Sans', sans-serif";
    }
  }
}

// Each term has a shade of its own: a change of term is a change of colour.
function termColour(span) {
  const base = colours[span.state] || colours.up;
  return span.term > 1 ? `color-mix(in oklab, ${base}, hsl(${(span.term * 67) % 360} 60% 55%) 35%)` : base;
}

function colourOf(arrow) {
  if (arrow.arrives === null) return colours.lost;
  return arrow.text.startsWith("error") ? colours.error : colours.message;
}

function drawArrows() {
  let visible = 0;
  for (const arrow of drawn) if ((arrow.arrives ?? arrow.at) >= view.from && arrow.at <= view.until) visible++;
  const dense = visible > 600;
  pen.globalAlpha = Math.max(0.08, Math.min(hovered || picked ? 0.35 : 0.9, 600 / visible));
  for (const arrow of drawn) if (arrow !== hovered && arrow !== picked) drawArrow(arrow, false, dense);
  if (visible < 120) for (const arrow of drawn) if (arrow !== hovered && arrow !== picked) nameArrow(arrow, colours.ink);
  pen.globalAlpha = 1;
  for (const arrow of [picked, hovered]) if (arrow) drawArrow(arrow, true, false);
}

// Where an arrow begins and ends; one that never arrives ends half-way.
function ends(arrow) {
  const down = Math.sign(arrow.toRow - arrow.row) || 1;
  const from = [x(arrow.at), y(arrow.row) + down * BAR / 2];
  if (arrow.arrives !== null) return [from, [x(arrow.arrives), y(arrow.toRow) - down * BAR / 2]];
  return [from, [from[0] + 12, (from[1] + y(arrow.toRow)) / 2]];
}

function drawArrow(arrow, named, dense) {
  const [[x1, y1], [x2, y2]] = ends(arrow);
  if (x2 < NAMES || x1 > width()) return;
  const special = arrow === hovered || arrow === picked;
  pen.strokeStyle = pen.fillStyle = special ? colours.picked : colourOf(arrow);
  pen.lineWidth = special ? 2.2 : dense ? 0.6 : 1.1;
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x2, y2);
  pen.stroke();
  if (dense) return;
  const angle = Math.atan2(y2 - y1, x2 - x1), head = special ? 8 : 6;
  pen.beginPath();
  if (arrow.arrives === null) {
    pen.moveTo(x2 - 4, y2 - 4); pen.lineTo(x2 + 4, y2 + 4); pen.moveTo(x2 + 4, y2 - 4); pen.lineTo(x2 - 4, y2 + 4);
    pen.stroke();
  } else {
    pen.moveTo(x2, y2);
    pen.lineTo(x2 - head * Math.cos(angle - 0.4), y2 - head * Math.sin(angle - 0.4));
    pen.lineTo(x2 - head * Math.cos(angle + 0.4), y2 - head * Math.sin(angle + 0.4));
    pen.fill();
  }
  if (named) nameArrow(arrow, colours.picked);
}

function nameArrow(arrow, colour) {
  const [[x1, y1], [x2, y2]] = ends(arrow);
  if (x2 >= NAMES && x1 <= width()) drawText(arrow.text, x1 + 5, y1 + Math.sign(y2 - y1) * 10, colour);
}

function drawText(text, left, middle, colour) {
  const short = text.length > 46 ? text.slice(0, 45) + "…" : text;
  const wide = pen.measureText(short).width;
  // A label that would cover another is left out: the pointer shows it.
  if (colour !== colours.picked && labels.some((other) => Math.abs(other.middle - middle) < 13 && left < other.right && other.left < left + wide)) return;
  labels.push({ left, right: left + wide + 4, middle });
  pen.save();
  pen.globalAlpha *= 0.85;
  pen.fillStyle = colours.page;
  pen.fillRect(left - 2, middle - 7, wide + 4, 14);
  pen.restore();
  pen.fillStyle = colour;
  pen.fillText(short, left, middle);
}

function drawViolations() {
  for (const mark of [...picture.violations].reverse()) {
    const at = x(mark.at);
    if (at < NAMES || at > width()) continue;
    const first = mark === picture.violations[0];
    pen.globalAlpha = first ? 1 : 0.4;
    pen.strokeStyle = pen.fillStyle = colours.violation;
    pen.lineWidth = first ? 1.5 : 0.7;
    pen.setLineDash([5, 4]);
    pen.beginPath();
    pen.moveTo(at, TOP - 4);
    pen.lineTo(at, height());
    pen.stroke();
    pen.setLineDash([]);
    if (mark.lane !== null && rows.has(mark.lane)) {
      pen.beginPath();
      pen.arc(at, y(rows.get(mark.lane)), 8, 0, 7);
      pen.lineWidth = first ? 3 : 1.5;
      pen.stroke();
    }
  }
  pen.globalAlpha = 1;
}

function drawNames() {
  pen.fillStyle = colours.page;
  pen.fillRect(0, 0, NAMES, height());
  lanes.forEach((lane, row) => {
    if (y(row) < TOP) return;
    pen.fillStyle = only === lane.id ? colours.picked : colours.ink;
    pen.fillText(lane.name, 12, y(row));
  });
  pen.strokeStyle = colours.line;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(NAMES - 0.5, 0);
  pen.lineTo(NAMES - 0.5, height());
  pen.stroke();
}

function drawTimes() {
  pen.fillStyle = colours.page;
  pen.fillRect(0, 0, width(), TOP - 6);
  const span = view.until - view.from, raw = span / Math.max(2, (width() - NAMES) / 120);
  const power = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
  pen.textAlign = "center";
  for (let time = Math.ceil(view.from / step) * step; time <= view.until; time += step) {
    if (x(time) < NAMES + 24 || x(time) > width() - 24) continue;
    pen.fillStyle = colours.faint;
    pen.fillText(clock(time), x(time), 12);
    pen.fillStyle = colours.line;
    pen.fillRect(x(time), 20, 1, 5);
  }
  pen.textAlign = "left";
  let end = NAMES;
  for (const fault of picture.faults) {
    const left = Math.max(x(fault.from), NAMES + 3), right = x(fault.until);
    if (right < NAMES || x(fault.from) > width()) continue;
    pen.fillStyle = colours["fault-edge"];
    pen.fillRect(left, 28, Math.max(Math.min(right, width()) - left, 2), 3);
    if (left < end) continue;
    const text = fault.text.length > 60 ? fault.text.slice(0, 59) + "…" : fault.text;
    pen.fillText(text, left, 39);
    end = left + pen.measureText(text).width + 12;
  }
  for (const mark of picture.violations) {
    const at = x(mark.at);
    if (at < NAMES || at > width()) continue;
    pen.fillStyle = colours.violation;
    pen.beginPath();
    pen.moveTo(at - 6, 20); pen.lineTo(at + 6, 20); pen.lineTo(at, 28);
    pen.fill();
  }
}

// --- moving about

function show(from, until) {
  const span = Math.min(Math.max(until - from, SPAN_MIN), (picture.until - picture.from) * 1.2);
  const middle = Math.min(Math.max((from + until) / 2, picture.from), picture.until);
  view.from = middle - span / 2;
  view.until = middle + span / 2;
  draw();
}

function zoom(factor, px = NAMES + (width() - NAMES) / 2) {
  const at = timeAt(px);
  show(at - (at - view.from) * factor, at + (view.until - at) * factor);
}

const showAll = () => show(picture.from, picture.until);
function showViolation() {
  const mark = picture.violations.find((mark) => mark.at >= picture.from && mark.at <= picture.until);
  if (mark) show(mark.at - 4000, mark.at + 1500);
}

function nearest(px, py) {
  let best = null, distance = 7;
  for (const arrow of drawn) {
    const [[x1, y1], [x2, y2]] = ends(arrow);
    if (x2 < px - 10 && x1 < px - 10) continue;
    if (x1 > px + 10 && x2 > px + 10) continue;
    const dx = x2 - x1, dy = y2 - y1, t = Math.max(0, Math.min(1, ((px - x1) * dx + (py - y1) * dy) / (dx * dx + dy * dy || 1)));
    const away = Math.hypot(px - x1 - t * dx, py - y1 - t * dy);
    if (away < distance) { distance = away; best = arrow; }
  }
  return best;
}

function tell(px, py) {
  const near = (at) => Math.abs(x(at) - px) < 6;
  const mark = picture.violations.find((mark) => near(mark.at));
  const fault = picture.faults.find((fault) => py < TOP && x(fault.from) <= px && px <= Math.max(x(fault.until), x(fault.from) + 3));
  const row = Math.floor((py - TOP + view.scroll) / pitch());
  const span = lanes[row] && Math.abs(y(row) - py) <= BAR && picture.spans.find((span) => span.lane === lanes[row].id && x(span.from) <= px && px <= x(span.until));
  let text = "";
  if (hovered) {
    const name = (lane) => picture.lanes[lane].name, took = hovered.arrives === null ? "never arrives" : `${((hovered.arrives - hovered.at) / 1e3).toFixed(3)} ms`;
    text = `${name(hovered.from)} → ${name(hovered.to)}\n${hovered.text}\n${(hovered.at / 1e6).toFixed(6)} s, ${took}`;
  } else if (mark) text = mark.text;
  else if (fault) text = `${fault.text}\n${(fault.from / 1e6).toFixed(3)} s to ${(fault.until / 1e6).toFixed(3)} s`;
  else if (span) text = `${lanes[row].name}: ${STATE_TEXT[span.state] || span.state}${span.term ? ", term " + span.term : ""}\n${(span.from / 1e6).toFixed(3)} s to ${(span.until / 1e6).toFixed(3)} s`;
  tip.hidden = !text;
  tip.textContent = text;
  if (!text) return;
  tip.style.left = Math.min(px + 14, width() - tip.offsetWidth - 8) + "px";
  tip.style.top = Math.min(py + 14, height() - tip.offsetHeight - 8) + "px";
}

let drag = null;
canvas.addEventListener("pointerdown", (event) => {
  drag = { px: event.offsetX, py: event.offsetY, from: view.from, until: view.until, scroll: view.scroll, moved: false };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  if (drag) {
    const by = (drag.px - event.offsetX) / (width() - NAMES) * (drag.until - drag.from);
    drag.moved ||= Math.hypot(event.offsetX - drag.px, event.offsetY - drag.py) > 4;
    const most = Math.max(0, lanes.length * pitch() + TOP - height() + 10);
    view.scroll = Math.max(0, Math.min(most, drag.scroll + drag.py - event.offsetY));
    return show(drag.from + by, drag.until + by);
  }
  const before = hovered;
  hovered = nearest(event.offsetX, event.offsetY);
  if (before !== hovered) draw();
  tell(event.offsetX, event.offsetY);
});
canvas.addEventListener("pointerup", (event) => {
  const moved = drag && drag.moved;
  drag = null;
  if (moved) return;
  if (event.offsetX < NAMES) {
    const lane = lanes[Math.floor((event.offsetY - TOP + view.scroll) / pitch())];
    only = lane && only !== lane.id ? lane.id : null;
    arrange();
  } else picked = hovered === picked ? null : hovered;
  draw();
});
canvas.addEventListener("pointerleave", () => { hovered = null; tip.hidden = true; draw(); });
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  if (event.shiftKey) { const by = (view.until - view.from) * event.deltaY / 800; show(view.from + by, view.until + by); }
  else zoom(Math.exp(event.deltaY / 500), Math.max(event.offsetX, NAMES));
}, { passive: false });
canvas.addEventListener("keydown", (event) => {
  const step = (view.until - view.from) / 6;
  const keys = { "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1.7), 0: showAll, v: showViolation, ArrowLeft: () => show(view.from - step, view.until - step), ArrowRight: () => show(view.from + step, view.until + step) };
  if (keys[event.key]) { keys[event.key](); event.preventDefault(); }
});

// --- tools

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  readColours();
  byId("legend").replaceChildren(...[...STATES.map((state) => [state, STATE_TEXT[state] || state]), ["fault-edge", "fault"], ["message", "message"], ["error", "error"], ["lost", "never arrives"], ["violation", "violation"]].map(([colour, text]) => {
    const entry = document.createElement("span"), sample = document.createElement("i");
    sample.style.background = colours[colour];
    entry.append(sample, text);
    return entry;
  }));
  draw();
}

for (const part of ["client", "gateway", "server", "operator"]) {
  const label = document.createElement("label"), box = document.createElement("input");
  box.type = "checkbox";
  box.checked = !hidden.has(part);
  box.addEventListener("change", () => { box.checked ? hidden.delete(part) : hidden.add(part); arrange(); draw(); });
  label.append(box, " " + part + "s");
  byId("parts").append(label);
}
byId("filter").addEventListener("input", (event) => { filter = event.target.value; arrange(); draw(); });
byId("in").addEventListener("click", () => zoom(0.5));
byId("out").addEventListener("click", () => zoom(2));
byId("all").addEventListener("click", showAll);
byId("violation").addEventListener("click", showViolation);
byId("violation").hidden = picture.violations.length === 0;
byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
const told = [...new Set(picture.violations.map((mark) => mark.text))];
byId("said").textContent = [...told.slice(0, 2), told.length > 2 ? `${told.length - 2} more are marked` : "", picture.left_out ? `${picture.left_out} messages at the end are left out.` : ""].filter(Boolean).join(" · ");
byId("said").hidden = !byId("said").textContent;
new ResizeObserver(draw).observe(canvas);
// The address may say where to begin: #theme=dark&view=all.
const wish = new URLSearchParams(location.hash.slice(1));
arrange();
setTheme(wish.get("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
if (wish.get("view") !== "all") showViolation();
