"use strict";
// One chart on a canvas: the series with its band above, the reading of the rule's function below, alerts and incidents as
// regions. All charts show the same time, `view`.
const view = { from: 0, to: 1, full: [0, 1], charts: [], queued: false };

function setView(from, to) {
  const least = 1000, full = view.full;
  if (to - from < least) to = from + least;
  if (to - from >= full[1] - full[0]) [from, to] = full;
  else if (from < full[0]) [from, to] = [full[0], full[0] + (to - from)];
  else if (to > full[1]) [from, to] = [full[1] - (to - from), full[1]];
  view.from = from; view.to = to;
  redraw();
}

function redraw() {
  view.charts.forEach((chart) => { chart.stale = true; });
  if (view.queued) return;
  view.queued = true;
  requestAnimationFrame(() => { view.queued = false; drawVisible(); });
}

// Only what is on the screen is drawn.
function drawVisible() {
  for (const chart of view.charts) {
    const box = chart.canvas.getBoundingClientRect();
    if (chart.stale && box.bottom > -300 && box.top < innerHeight + 300) { chart.stale = false; chart.draw(); }
  }
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

function shown(v) {
  if (v === null || v === undefined) return "-";
  const size = Math.abs(v);
  if (size >= 1e15 || (size > 0 && size < 1e-4)) return v.toExponential(3);
  return String(Number(v.toPrecision(5)));
}

const when = (t) => new Date(t).toISOString().replace("T", " ").replace(/\.\d+Z$/, "Z");

class Chart {
  // regions: [{from, to, kind: "alert" | "incident", name}]
  constructor(canvas, readout, data, regions) {
    Object.assign(this, { canvas, readout, data, regions, stale: true, drag: null, hover: null });
    const at = (event) => this.timeAt(event.offsetX);
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const t = at(event), by = Math.exp(event.deltaY * 0.0015);
      setView(t - (t - view.from) * by, t + (view.to - t) * by);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      this.drag = { from: at(event), x: event.offsetX, pan: event.shiftKey, view: [view.from, view.to] };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      this.hover = event.offsetX;
      if (this.drag && this.drag.pan) {
        const [from, to] = this.drag.view, by = (this.drag.x - event.offsetX) / this.width() * (to - from);
        setView(from + by, to + by);
      }
      this.draw();
    });
    canvas.addEventListener("pointerup", (event) => {
      const drag = this.drag;
      this.drag = null;
      if (drag && !drag.pan && Math.abs(event.offsetX - drag.x) > 4) {
        const to = at(event);
        setView(Math.min(drag.from, to), Math.max(drag.from, to));
      } else this.draw();
    });
    canvas.addEventListener("pointerleave", () => { this.hover = null; this.readout.textContent = ""; this.draw(); });
    canvas.addEventListener("dblclick", () => setView(...view.full));
    view.charts.push(this);
  }

  width() { return Math.max(1, this.canvas.clientWidth - 64); }
  x(t) { return 60 + (t - view.from) / (view.to - view.from) * this.width(); }
  timeAt(x) { return view.from + (x - 60) / this.width() * (view.to - view.from); }

  // Buckets within the view, and one more to either side so that lines go on.
  range() {
    const { origin, width, low } = this.data, at = (t) => Math.floor((t - origin) / width);
    return [Math.max(0, at(view.from) - 1), Math.min(low.length - 1, at(view.to) + 1)];
  }

  extent(columns) {
    const [first, last] = this.range();
    let low = Infinity, high = -Infinity;
    for (const column of columns) {
      if (!column) continue;
      for (let i = first; i <= last; i++) {
        const v = column[i];
        if (v !== null && v !== undefined) { if (v < low) low = v; if (v > high) high = v; }
      }
    }
    return [low, high];
  }

  // A band that is wide because little is known yet must not flatten the series.
  scale(columns, band, top, bottom, extra) {
    let [low, high] = this.extent(columns);
    if (extra !== null && extra !== undefined && low <= high) { low = Math.min(low, extra); high = Math.max(high, extra); }
    const [lowest, highest] = this.extent(band), room = (high - low) * 0.5;
    if (lowest <= highest && low <= high) { low = Math.min(low, Math.max(lowest, low - room)); high = Math.max(high, Math.min(highest, high + room)); }
    if (low > high) { low = 0; high = 1; }
    if (low === high) { low -= Math.abs(low) * 0.05 || 1; high += Math.abs(high) * 0.05 || 1; }
    const pad = (high - low) * 0.06;
    low -= pad; high += pad;
    return { low, high, y: (v) => bottom - (v - low) / (high - low) * (bottom - top) };
  }

  draw() {
    const c = this.canvas, ratio = devicePixelRatio || 1, w = c.clientWidth, h = c.clientHeight;
    if (c.width !== Math.round(w * ratio) || c.height !== Math.round(h * ratio)) { c.width = Math.round(w * ratio); c.height = Math.round(h * ratio); }
    const g = c.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, w, h);
    const d = this.data, split = d.readingHigh ? h * 0.66 : h - 22;
    const threshold = d.threshold && d.threshold.at;
    const main = this.scale([d.low, d.high, d.expected], [d.lower, d.upper], 6, split - 6, d.threshold && !d.threshold.reading ? threshold : null);
    this.axis(g, main, 6, split - 6, 4);
    g.save();
    g.beginPath(); g.rect(60, 0, this.width(), h); g.clip();
    this.shade(g, h - 20);
    g.save(); g.beginPath(); g.rect(60, 0, this.width(), split); g.clip();
    if (d.lower && d.upper) this.band(g, main, d.lower, d.upper, color("band"));
    if (d.expected) this.envelope(g, main, d.expected, d.expected, color("expected"));
    this.envelope(g, main, d.low, d.high, color("value"));
    if (d.threshold && !d.threshold.reading) this.level(g, main, threshold);
    g.restore();
    if (d.readingHigh) {
      const below = this.scale([d.readingLow, d.readingHigh], [], split + 8, h - 22, d.threshold && d.threshold.reading ? threshold : null);
      this.envelope(g, below, d.readingLow, d.readingHigh, color("reading"));
      if (d.threshold && d.threshold.reading) this.level(g, below, threshold);
      g.restore();
      this.axis(g, below, split + 8, h - 22, 2);
      g.save();
    }
    if (this.drag && !this.drag.pan && this.hover !== null) {
      g.fillStyle = color("band"); g.fillRect(this.drag.x, 0, this.hover - this.drag.x, h - 20);
    }
    if (this.hover !== null) {
      g.strokeStyle = color("dim"); g.setLineDash([2, 3]); g.beginPath(); g.moveTo(this.hover, 0); g.lineTo(this.hover, h - 20); g.stroke();
      this.tell(this.timeAt(this.hover));
    }
    g.restore();
    this.times(g, h);
  }

  shade(g, bottom) {
    for (const region of this.regions) {
      if (region.to < view.from || region.from > view.to) continue;
      const from = this.x(region.from), width = Math.max(2, this.x(region.to) - from), alert = region.kind === "alert";
      g.fillStyle = color(alert ? "alert" : "incident"); g.fillRect(from, 0, width, bottom);
      g.fillStyle = color(alert ? "alert-edge" : "incident-edge"); g.fillRect(from, alert ? 0 : bottom - 3, width, 3);
    }
  }

  // A vertical stroke from the smallest to the largest of each bucket, joined to the next.
  envelope(g, scale, low, high, style) {
    const [first, last] = this.range(), { origin, width } = this.data;
    g.strokeStyle = style; g.lineWidth = 1.4; g.setLineDash([]); g.beginPath();
    let open = false;
    for (let i = first; i <= last; i++) {
      if (low[i] === null || low[i] === undefined) { open = false; continue; }
      const x = this.x(origin + (i + 0.5) * width);
      if (open) g.lineTo(x, scale.y(high[i])); else g.moveTo(x, scale.y(high[i]));
      g.lineTo(x, scale.y(low[i]) + 0.01);
      open = true;
    }
    g.stroke();
  }

  band(g, scale, lower, upper, style) {
    const [first, last] = this.range(), { origin, width } = this.data;
    g.fillStyle = style;
    for (let i = first; i <= last; i++) {
      if (lower[i] === null || upper[i] === null || lower[i] === undefined) continue;
      const from = this.x(origin + i * width), y = scale.y(upper[i]);
      g.fillRect(from, y, Math.max(1, this.x(origin + (i + 1) * width) - from), Math.max(1, scale.y(lower[i]) - y));
    }
  }

  level(g, scale, at) {
    g.strokeStyle = color("threshold"); g.lineWidth = 1; g.setLineDash([6, 4]);
    g.beginPath(); g.moveTo(60, scale.y(at)); g.lineTo(60 + this.width(), scale.y(at)); g.stroke(); g.setLineDash([]);
  }

  axis(g, scale, top, bottom, steps) {
    g.fillStyle = color("dim"); g.strokeStyle = color("line"); g.font = "11px system-ui"; g.textAlign = "right"; g.textBaseline = "middle"; g.lineWidth = 1;
    const rough = (scale.high - scale.low) / steps, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((n) => n * power >= rough);
    for (let v = Math.ceil(scale.low / step) * step; v <= scale.high; v += step) {
      const y = scale.y(v);
      g.beginPath(); g.moveTo(60, y); g.lineTo(60 + this.width(), y); g.stroke();
      g.fillText(compact(v, step), 54, y);
    }
  }

  times(g, h) {
    g.fillStyle = color("dim"); g.font = "11px system-ui"; g.textBaseline = "bottom"; g.textAlign = "center";
    const span = view.to - view.from, wanted = span / Math.max(2, this.width() / 140);
    const steps = [1e3, 5e3, 15e3, 6e4, 3e5, 9e5, 36e5, 108e5, 216e5, 432e5, 864e5, 1728e5, 6048e5, 12096e5, 25920e5, 77760e5, 311040e5];
    const step = steps.find((s) => s >= wanted) || steps[steps.length - 1];
    for (let t = Math.ceil(view.from / step) * step; t <= view.to; t += step) {
      const text = when(t);
      g.fillText(step >= 864e5 ? text.slice(0, 10) : step >= 6e4 ? text.slice(5, 16) : text.slice(11, 19), this.x(t), h - 2);
    }
  }

  tell(t) {
    const d = this.data, i = Math.floor((t - d.origin) / d.width), parts = [when(t)];
    const range = (low, high) => (shown(low) === shown(high) ? shown(low) : shown(low) + " to " + shown(high));
    if (i >= 0 && i < d.low.length && d.low[i] !== null) {
      parts.push("value " + range(d.low[i], d.high[i]));
      if (d.expected && d.expected[i] !== null) parts.push("expected " + shown(d.expected[i]));
      if (d.lower && d.upper && d.lower[i] !== null) parts.push("band " + shown(d.lower[i]) + " to " + shown(d.upper[i]));
      if (d.readingLow && d.readingLow[i] !== null && d.readingLow[i] !== undefined) parts.push("reading " + range(d.readingLow[i], d.readingHigh[i]));
    }
    for (const region of this.regions) if (region.from <= t && t <= region.to) parts.push(region.kind + (region.name ? " " + region.name : ""));
    this.readout.textContent = parts.join("   ");
  }
}

function compact(v, step) {
  const size = Math.max(Math.abs(v), step);
  for (const [unit, name] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= unit * 10) return String(Number((v / unit).toPrecision(4))) + name;
  }
  return size < 1e-3 ? v.toExponential(1) : String(Number(v.toPrecision(4)));
}
