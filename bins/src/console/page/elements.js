// Makes elements, and keeps them as they are where nothing has changed: what somebody points at or has focused stays where it is.
// Whatever comes from a server becomes text, and nothing else.

const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

function el(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== null));
  return made;
}

function svg(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  return made;
}

function say(node, text) {
  const wanted = String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
  return node;
}

function mark(node, attribute, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(attribute);
  else if (node.getAttribute(attribute) !== String(value)) node.setAttribute(attribute, value);
  return node;
}

/** Has `parent` hold one element for each item, in order, and no others. Those whose keys stay are brought up to date. */
function each(parent, items, key, make, update) {
  const known = parent.kept || (parent.kept = new Map());
  const wanted = new Map();
  let place = parent.firstElementChild;
  for (const item of items) {
    const its = key(item);
    if (wanted.has(its)) continue;
    const node = known.get(its) || make(item);
    wanted.set(its, node);
    if (update) update(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const [its, node] of known) if (!wanted.has(its)) node.remove();
  parent.kept = wanted;
  return parent;
}

/**
 * A table. A column has a `name`, and `show(cell, item)` for its cells; `number`, `wide`, `title`, `does` say how it looks, and `by` that
 * it can be sorted by.
 */
function table(caption, columns, sort) {
  const heads = columns.map((column) => {
    const head = el("th", { scope: "col", role: "columnheader", class: column.number ? "number" : null });
    if (column.by && sort) head.append(el("button", { type: "button", class: "plain", click: () => sort(column.by) }, column.name));
    else head.textContent = column.name;
    return head;
  });
  const body = el("tbody", { role: "rowgroup" });
  const node = el("table", { role: "table", "aria-label": caption },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...heads)), body);
  const classes = ["number", "wide", "title", "does", "nowrap", "poolcell", "words"];
  const make = () => el("tr", { role: "row" }, ...columns.map((column) =>
    el("td", { role: "cell", "data-label": column.name, class: classes.filter((name) => column[name]).join(" ") || null })));
  const update = (row, item) => columns.forEach((column, at) => {
    const cell = row.children[at];
    column.show(cell, item);
    cell.classList.toggle("none", cell.textContent === "" && !cell.firstElementChild);
  });
  return {
    node: el("div", { class: "panel scroll" }, node),
    fill(items, key) {
      each(body, items, key, make, update);
      // A column in which nothing stands says nothing.
      columns.forEach((column, at) => {
        const isEmpty = [...body.children].every((row) => row.children[at].classList.contains("none"));
        for (const row of [heads[at].parentElement, ...body.children]) row.children[at].hidden = isEmpty && body.children.length > 0;
      });
    },
    sorted(by) {
      columns.forEach((column, at) => mark(heads[at], "aria-sort", column.by && (column.by === by ? "descending" : "none")));
    },
  };
}

/** A cell that holds one element, made when it is first shown. */
function within(cell, make) {
  if (!cell.firstElementChild) cell.append(make());
  return cell.firstElementChild;
}

// What is said, in as few words as possible.

const count = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const whole = (number) => count.format(number);
const few = (number) => (number >= 100 || number === 0 ? count.format(number) : number >= 10 ? number.toFixed(1) : number.toFixed(2));

function span(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds === 0) return "0 s";
  if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 0.1) return `${(seconds * 1e3).toFixed(1)} ms`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(0)} ms`;
  if (seconds < 120) return `${seconds < 10 ? seconds.toFixed(2) : seconds.toFixed(0)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** Of whole seconds. */
const age = (seconds) => (seconds < 120 ? `${seconds} s` : span(seconds));
const milliseconds = (seconds) => (seconds >= 10 ? `${seconds.toFixed(1)} s` : `${(seconds * 1e3).toFixed(seconds < 0.1 ? 1 : 0)} ms`);
/** local-2 for local-0000000002, as every command takes it. */
const short = (tablet) => String(tablet).replace(/-0*(\d+)$/, "-$1");
const plural = (number, one, many) => `${whole(number)} ${number === 1 ? one : many || one + "s"}`;
const sum = (list, of) => list.reduce((total, item) => total + of(item), 0);
