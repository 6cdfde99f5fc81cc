// Builds the page from the data block. Texts are set as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);

function element(tag, text, parent, className) {
  const node = document.createElement(tag);
  if (text !== null && text !== undefined) node.textContent = text;
  if (className) node.className = className;
  if (parent) parent.appendChild(node);
  return node;
}

function span(ms) {
  if (ms === null || ms === undefined) return "-";
  const sign = ms < 0 ? "-" : "";
  let rest = Math.round(Math.abs(ms) / 1000);
  const parts = [];
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]]) {
    if (rest >= size) { parts.push(Math.floor(rest / size) + unit); rest %= size; }
  }
  return sign + (parts.slice(0, 2).join(" ") || "0s");
}

const share = (v) => (v === null || v === undefined ? "-" : Math.round(v * 100) + "%");
const labelText = (labels) => "{" + Object.entries(labels).map(([n, v]) => n + "=" + JSON.stringify(v)).join(", ") + "}";

function table(main) {
  const node = element("table", null, main), head = element("tr", null, node);
  const columns = ["Alert", "Pages", "Firing", "Flaps"].concat(data.hasTruth ? ["Precision", "Recall", "Median lead"] : []);
  columns.forEach((name) => element("th", name, head));
  const rows = data.rules.length > 1 ? data.rules.concat([data.total]) : data.rules;
  rows.forEach((rule, i) => {
    const row = element("tr", null, node), name = element("td", null, row);
    if (i < data.rules.length) element("a", rule.name, name).href = "#rule-" + i; else name.textContent = rule.name;
    const cells = [rule.pages, span(rule.firing), rule.flaps];
    if (data.hasTruth) cells.push(share(rule.precision), share(rule.recall), span(rule.lead));
    cells.forEach((text) => element("td", text, row));
  });
}

// An alert belongs to a chart if it has the labels of the chart's element.
const belongs = (labels, alert) => Object.entries(labels).every(([n, v]) => !(n in alert) || alert[n] === v);

function regionsOf(rule, chart) {
  const regions = rule.incidents.map((i) => data.incidents[i])
    .filter((incident) => belongs(incident.match, chart.labels))
    .map((incident) => ({ from: incident.start, to: incident.end, kind: "incident", name: incident.name }));
  const alerts = rule.alerts.filter((alert) => belongs(chart.labels, alert.labels));
  return regions.concat(alerts.map((alert) => ({ from: alert.fired, to: alert.until, kind: "alert", name: "" })));
}

function section(rule, index, main) {
  element("h2", rule.name, main).id = "rule-" + index;
  element("code", rule.expr, main);
  for (const chart of rule.charts) {
    element("h3", chart.watched + "  " + labelText(chart.labels), main);
    const canvas = element("canvas", null, main), readout = element("div", "", main, "readout");
    new Chart(canvas, readout, chart, regionsOf(rule, chart));
  }
  if (!rule.alerts.length) { element("p", "no page", main, "dim"); return; }
  const details = element("details", null, main);
  element("summary", rule.pages + (rule.pages === 1 ? " page" : " pages"), details);
  const list = element("table", null, details, "alerts");
  for (const alert of rule.alerts) {
    const row = element("tr", null, list);
    const jump = element("button", when(alert.fired), element("td", null, row));
    jump.addEventListener("click", () => {
      const pad = Math.max((alert.until - alert.fired) * 2, 36e5);
      setView(alert.fired - pad, alert.until + pad);
    });
    element("td", alert.open ? "fires at the end" : span(alert.until - alert.fired), row);
    const cell = element("td", labelText(alert.labels) + "  value " + shown(alert.value), row);
    alert.annotations.forEach(([name, text]) => element("div", name + ": " + text, cell, "dim"));
  }
  if (rule.alertsLeftOut) element("p", "and " + rule.alertsLeftOut + " more", details, "dim");
}

const main = document.getElementById("main");
view.full = [data.start, Math.max(data.end, data.start + 1000)];
[view.from, view.to] = view.full;
document.getElementById("period").textContent =
  data.title + ": " + when(data.start) + " to " + when(data.end) + ", " + data.samples.toLocaleString("en") + " samples, " + data.series + " series at most at a time";
table(main);
element("p", "Drag to zoom in, wheel to zoom, shift-drag to move, double-click for the whole. Red: alerts. Yellow: incidents. " +
  "Shaded: 95% of what was expected." + (data.chartsLeftOut ? " " + data.chartsLeftOut + " more charts were left out." : ""), main, "hint");
data.rules.forEach((rule, index) => section(rule, index, main));
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  redraw();
});
addEventListener("resize", redraw);
addEventListener("scroll", drawVisible, { passive: true });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
redraw();
