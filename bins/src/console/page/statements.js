// What statements came to, by form.

function statementsView() {
  const view = { by: "time" };
  const total = { seconds: 1 };
  const sort = (by) => { view.by = by; choice.value = by; statements.sorted(by); view.poll.now(); };
  const mean = ({ seconds, count: times }) => seconds / Math.max(times, 1);
  const number = (name, by, of) => ({ name, by, number: true, show: (cell, it) => say(cell, of(it.totals)) });
  const statements = table("Statements", [
    { name: "Statement", wide: true, show: (cell, it) => {
      const box = within(cell, () => el("div", {}, folded(), el("i", { class: "share", "aria-hidden": "true" })));
      say(box.children[0], it.statement || `form not known: ${it.fingerprint}`);
      box.children[1].style.width = `${Math.min(100, (100 * it.totals.seconds) / total.seconds)}%`;
    } },
    number("Time", "time", (of) => span(of.seconds)),
    { name: "Share", number: true, show: (cell, it) => say(cell, `${((100 * it.totals.seconds) / total.seconds).toFixed(1)} %`) },
    number("Count", "count", (of) => whole(of.count)),
    number("Mean", "mean", (of) => span(mean(of))),
    number("Longest", "max", (of) => span(of.seconds_max)),
    { name: "Errors", by: "errors", number: true, show: (cell, it) => { say(cell, whole(it.totals.errors)); cell.classList.toggle("bad", it.totals.errors > 0); } },
    number("Rows sent", "rows", (of) => whole(of.rows_sent)),
    number("Changed", null, (of) => whole(of.rows_affected)),
    number("Waited", "waits", (of) => (of.waits ? `${whole(of.waits)} × ${span(of.wait_seconds / of.waits)}` : "–")),
  ], sort);
  const orders = { time: "Time", count: "Count", mean: "Mean", max: "Longest", errors: "Errors", rows: "Rows", waits: "Waited" };
  const choice = el("select", { id: "by", change: () => sort(choice.value) },
    ...Object.entries(orders).map(([by, name]) => el("option", { value: by }, name)));
  const said = el("p", { class: "soft" });
  const none = el("p", { class: "empty panel", hidden: true }, "No statement has been counted yet.");
  byId("statements").append(
    el("div", { class: "row" }, el("h2", {}, "Statements by form"), said, el("label", { class: "sortby" }, "Sort by ", choice)),
    none, statements.node);
  statements.sorted(view.by);

  view.poll = new Poll("statements", 5000, async () => {
    const shown = await ask(`/api/statements?by=${view.by}`);
    total.seconds = shown.totals.seconds || 1;
    const forms = shown.forms.map((form) => ({ ...form, totals: form.totals || shown.others }));
    statements.node.hidden = forms.length === 0;
    none.hidden = forms.length > 0;
    statements.fill(forms, ({ fingerprint }) => fingerprint);
    const silent = shown.silent.map(({ name, why }) => `${name} does not tell: ${why}`);
    const some = shown.count > forms.length ? `${forms.length} of ${whole(shown.count)} forms` : plural(forms.length, "form");
    say(said, [`${some}, ${plural(shown.totals.count, "statement")} in all`, ...silent].join("; "));
  });
  return view;
}

/** A text of which two lines are shown, until somebody wants all of it. */
function folded() {
  return el("button", { type: "button", class: "plain statement mono", "aria-expanded": "false", click: ({ currentTarget: it }) => {
    mark(it, "aria-expanded", it.getAttribute("aria-expanded") !== "true");
  } });
}
