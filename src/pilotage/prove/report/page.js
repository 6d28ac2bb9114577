"use strict";
// Draws the charts of the page from the data in it. No library, no network. All text goes through
// textContent: names and messages come from servers.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const { panels } = JSON.parse(document.getElementById("pilotage-data").textContent);

  const make = (name, attributes = {}, parent = null, text = null) => {
    const element = document.createElement(name);
    return fill(element, attributes, parent, text);
  };
  const draw = (name, attributes = {}, parent = null, text = null) =>
    fill(document.createElementNS(SVG, name), attributes, parent, text);
  const fill = (element, attributes, parent, text) => {
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== null) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };

  // Numbers for people: as in figures.py.
  const plain = (value) => {
    if (value < 0) return "−" + plain(-value);
    if (value === 0) return "0";
    const rounded = value < 1000 ? Number(value.toPrecision(3)) : value;
    if (rounded >= 100) return Math.round(rounded).toLocaleString("en-US");
    if (rounded >= 10) return rounded.toFixed(1);
    return rounded >= 0.1 ? rounded.toFixed(2) : String(Number(rounded.toPrecision(2)));
  };
  const bare = (value) => plain(value).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
  const seconds = (value, number = plain) => {
    if (value === 0) return "0 ms";
    const rounded = Math.abs(Number(value.toPrecision(3)));
    if (rounded >= 1) return number(value) + " s";
    return rounded >= 1e-4 ? number(value * 1e3) + " ms" : number(value * 1e6) + " µs";
  };
  const share = (value) => {
    if (value === 0 || value === 1) return value * 100 + " %";
    const digits = value > 0.99 ? 2 : 1;
    return (value * 100).toFixed(digits) + " %";
  };
  const shown = (value, unit) => {
    if (value === null || value === undefined) return "–";
    if (unit === "s") return seconds(value);
    if (unit === "share") return share(value);
    return plain(value) + unit;
  };
  const ticked = (value, unit) => {
    if (unit === "s") return seconds(value, bare);
    if (unit === "share") return String(Number((value * 100).toPrecision(5))) + " %";
    return bare(value) + unit;
  };

  // Scales: a forward map onto [0, 1] and ticks.
  const even = (low, high) => {
    const span = high - low || 1;
    return {
      to: (value) => (value - low) / span,
      from: (part) => low + part * span,
      ticks: (most) => {
        const rough = span / most;
        const power = 10 ** Math.floor(Math.log10(rough));
        const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
        const found = [];
        for (let n = Math.ceil(low / step - 1e-9); n * step <= high + span * 1e-9; n++) found.push(n * step);
        return found;
      },
    };
  };
  const logarithmic = (low, high) => {
    const a = Math.log10(low), b = Math.log10(high);
    const span = b - a || 1;
    return {
      to: (value) => (Math.log10(Math.max(value, low)) - a) / span,
      from: (part) => 10 ** (a + part * span),
      ticks: (most) => {
        for (const steps of [[1, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]]) {
          const found = [];
          for (let e = Math.floor(a); e <= Math.ceil(b); e++) {
            for (const m of steps) {
              const value = m * 10 ** e;
              if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
            }
          }
          if (found.length <= most + 1 || steps.length === 1) return found;
        }
        return [];
      },
    };
  };
  // Every nine of a share gets the same room: 0, 90, 99, 99.9 %.
  const tail = (nines) => ({
    to: (value) => Math.min(1, -Math.log10(Math.max(1 - value, 1e-12)) / nines),
    from: (part) => 1 - 10 ** (-part * nines),
    ticks: () => [0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999].filter((v) => -Math.log10(1 - v) <= nines + 1e-9),
  });

  const extent = (chart, series, pick) => {
    let low = Infinity, high = -Infinity, positive = Infinity;
    const see = (value) => {
      if (value === null || value === undefined) return;
      low = Math.min(low, value);
      high = Math.max(high, value);
      if (value > 0) positive = Math.min(positive, value);
    };
    for (const one of series) {
      for (const point of one.points) see(point[pick]);
      if (pick === 1) for (const [, bottom, top] of one.band) { see(bottom); if (top !== null) see(top); }
    }
    for (const guide of chart.guides) if ((guide.axis === "x") === (pick === 0)) see(guide.at);
    return Number.isFinite(low) ? { low, high, positive } : { low: 0, high: 1, positive: 0.1 };
  };
  const scaled = (axis, kind, { low, high, positive }) => {
    if (kind === "log" && Number.isFinite(positive)) {
      return logarithmic(positive / 1.08, Math.max(high, positive * 1.5) * 1.08);
    }
    const bottom = axis.low === null ? low : axis.low;
    const top = axis.high === null ? high * 1.06 || 1 : axis.unit === "share" ? axis.high : Math.max(axis.high, high);
    return even(bottom, top);
  };
  const nines = (series) => {
    let largest = 0.99;
    for (const one of series) for (const [, y] of one.points) if (y !== null && y < 1) largest = Math.max(largest, y);
    return -Math.log10(1 - largest) * 1.02;
  };

  class Chart {
    constructor(panel, chart, host) {
      Object.assign(this, { panel, chart });
      this.box = make("figure", { class: "chart" }, host);
      const head = make("figcaption", { class: "chart-head" }, this.box);
      if (panel.stacked) make("h4", {}, head, chart.title);
      this.legend = make("div", { class: "legend" }, head);
      if (chart.series.length > 1 || panel.stacked) this.list();
      this.svg = draw("svg", { role: "img", tabindex: "0", "aria-label": this.spoken() }, this.box);
      this.tip = make("div", { class: "tip", role: "status", hidden: "" }, this.box);
      this.svg.addEventListener("pointermove", (event) => this.point(event));
      this.svg.addEventListener("pointerdown", (event) => this.point(event));
      this.svg.addEventListener("pointerleave", () => panel.leave());
      this.svg.addEventListener("blur", () => panel.leave());
      this.svg.addEventListener("keydown", (event) => this.step(event));
    }
    spoken() {
      const names = this.chart.series.map((one) => one.name).join(", ");
      return `${this.chart.title}: ${names}. Arrow keys read the values; the tables hold the figures.`;
    }
    list() {
      for (const one of this.chart.series) {
        const entry = make("button", {
          type: "button", class: one.tone + (one.dashed ? " dashed" : ""), "aria-pressed": "true",
          title: `Show or hide ${one.name}`,
        }, this.legend, one.name);
        entry.addEventListener("click", () => {
          const key = this.chart.title + "\n" + one.name;
          const off = this.panel.hidden;
          if (off.has(key)) off.delete(key); else off.add(key);
          entry.setAttribute("aria-pressed", String(!off.has(key)));
          this.render();
        });
        if (this.panel.hidden.has(this.chart.title + "\n" + one.name)) entry.setAttribute("aria-pressed", "false");
      }
    }
    get visible() {
      return this.chart.series.filter((one) => !this.panel.hidden.has(this.chart.title + "\n" + one.name));
    }
    render() {
      const { chart, svg, panel } = this;
      const width = Math.max(260, this.box.clientWidth || 640);
      const last = !panel.stacked || panel.charts[panel.charts.length - 1] === this;
      const height = chart.height + (last ? 46 : 28);
      this.width = width;
      const series = this.visible;
      const xs = scaled(chart.x, panel.scale("x", chart), extent(chart, chart.series, 0));
      const ys = panel.scale("y", chart) === "tail" ? tail(nines(series))
        : scaled(chart.y, panel.scale("y", chart), extent(chart, series.length ? series : chart.series, 1));
      const yTicks = ys.ticks(Math.max(2, Math.round(chart.height / 55)));
      const wide = Math.max(...yTicks.map((tick) => ticked(tick, chart.y.unit).length), 3);
      const left = panel.stacked ? 66 : Math.max(44, wide * 7 + 12);
      const area = { left, top: chart.y.label ? 22 : 8, right: width - 14, bottom: height - (last ? 44 : 26) };
      const x = (value) => area.left + xs.to(value) * (area.right - area.left);
      const y = (value) => area.bottom - ys.to(value) * (area.bottom - area.top);
      Object.assign(this, { xs, x, y, area });
      svg.replaceChildren();
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      for (const shade of chart.shades) {
        const [from, to] = [x(shade.start), Math.min(x(shade.end), area.right)];
        draw("rect", { class: "shade", x: from, y: area.top, width: Math.max(0, to - from), height: area.bottom - area.top }, svg);
        if (panel.charts[0] === this) draw("text", { x: from + 6, y: area.top + 13 }, svg, shade.label);
      }
      for (const tick of yTicks) {
        draw("line", { class: "rule", x1: area.left, x2: area.right, y1: y(tick), y2: y(tick) }, svg);
        draw("text", { x: area.left - 8, y: y(tick) + 4, "text-anchor": "end" }, svg, ticked(tick, chart.y.unit));
      }
      draw("line", { class: "axis", x1: area.left, x2: area.right, y1: area.bottom, y2: area.bottom }, svg);
      this.across(xs, x, area, last);
      if (chart.y.label) draw("text", { x: 0, y: 11 }, svg, chart.y.label);
      for (const one of series) this.line(one, x, y, area);
      this.guides(x, y, area);
      this.overlay = draw("g", {}, svg);
    }
    across(xs, x, area, last) {
      const { chart, svg } = this;
      let before = -Infinity;
      for (const tick of xs.ticks(Math.max(3, Math.round((area.right - area.left) / 85)))) {
        const at = x(tick);
        draw("line", { class: "axis", x1: at, x2: at, y1: area.bottom, y2: area.bottom + 4 }, svg);
        const label = ticked(tick, chart.x.unit);
        const half = label.length * 3.2;
        if (at - half < before + 8 || at + half > area.right + 14) continue;
        draw("text", { x: at, y: area.bottom + 18, "text-anchor": "middle" }, svg, label);
        before = at + half;
      }
      // In a stack only the last chart names the axis; all show its ticks.
      if (last) draw("text", { x: area.right, y: area.bottom + 38, "text-anchor": "end" }, svg, chart.x.label);
    }
    line(one, x, y, area) {
      const { svg } = this;
      const inside = (value) => Math.min(Math.max(value, area.top), area.bottom);
      const band = one.band.filter(([, low]) => low !== null);
      if (band.length > 1) {
        const top = band.map(([at, , high]) => `${x(at)},${high === null ? area.top : inside(y(high))}`);
        const bottom = band.map(([at, low]) => `${x(at)},${inside(y(low))}`).reverse();
        draw("polygon", { class: `band ${one.tone}`, points: [...top, ...bottom].join(" ") }, svg);
      }
      let path = "", pen = "M";
      one.points.forEach(([at, value]) => {
        if (value === null) { pen = "M"; return; }
        path += `${pen}${x(at).toFixed(2)} ${y(value).toFixed(2)}`;
        pen = "L";
      });
      if (path) draw("path", { class: `line ${one.tone}${one.dashed ? " dashed" : ""}`, d: path }, svg);
      one.points.forEach(([at, value], place) => {
        const alone = one.points.length === 1 ||
          ((one.points[place - 1] || [0, null])[1] === null && (one.points[place + 1] || [0, null])[1] === null);
        if (value === null || !(one.marks.length || alone)) return;
        if (one.marks[place] === "cross") {
          const [a, b] = [x(at), y(value)];
          draw("path", { class: `cross ${one.tone}`, d: `M${a - 4} ${b - 4}L${a + 4} ${b + 4}M${a - 4} ${b + 4}L${a + 4} ${b - 4}` }, svg);
        } else draw("circle", { class: `dot ${one.tone}`, cx: x(at), cy: y(value), r: 4.5 }, svg);
      });
    }
    guides(x, y, area) {
      const { chart, svg } = this;
      let row = 0;
      for (const guide of chart.guides) {
        if (guide.axis === "x") {
          const at = x(guide.at);
          if (at < area.left - 1 || at > area.right + 1) continue;
          draw("line", { class: `guide ${guide.tone}`, x1: at, x2: at, y1: area.top, y2: area.bottom }, svg);
          const end = at > (area.left + area.right) / 2;
          // Low in the chart, where a distribution to the left of its target leaves room.
          const low = guide.cross !== null ? area.bottom - 10 - 16 * row : area.top + 12 + 16 * row;
          draw("text", { class: `guide-label ${guide.tone}`, x: at + (end ? -7 : 7), y: low, "text-anchor": end ? "end" : "start" }, svg, guide.label);
          if (guide.cross !== null) {
            const b = y(guide.cross);
            draw("path", { class: `target ${guide.tone}`, d: `M${at} ${b - 6}L${at + 6} ${b}L${at} ${b + 6}L${at - 6} ${b}Z` }, svg);
          }
          row += 1;
        } else {
          const at = y(guide.at);
          if (at < area.top - 1 || at > area.bottom + 1) continue;
          draw("line", { class: `guide ${guide.tone}`, x1: area.left, x2: area.right, y1: at, y2: at }, svg);
          draw("text", { class: `guide-label ${guide.tone}`, x: area.left + 6, y: at - 5 > area.top + 8 ? at - 5 : at + 14 }, svg, guide.label);
        }
      }
    }
    // Reading values: by pointer, by arrow keys, or with the other charts of a stack.
    point(event) {
      if (!this.area) return;
      const frame = this.svg.getBoundingClientRect();
      const at = ((event.clientX - frame.left) / frame.width) * this.width;
      const part = (at - this.area.left) / (this.area.right - this.area.left);
      this.panel.read(this, this.xs.from(Math.min(1, Math.max(0, part))));
    }
    step(event) {
      if (event.key === "Escape") { this.panel.leave(); return; }
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      event.preventDefault();
      const sign = event.key === "ArrowRight" ? 1 : -1;
      const stops = this.stops();
      const now = this.panel.at === null ? (sign > 0 ? -Infinity : Infinity) : this.panel.at;
      const next = sign > 0 ? stops.find((stop) => stop > now) : [...stops].reverse().find((stop) => stop < now);
      if (next !== undefined) this.panel.read(this, next);
    }
    stops() {
      if (this.chart.read === "curve") return Array.from({ length: 51 }, (_, n) => this.xs.from(n / 50));
      const all = new Set(this.visible.flatMap((one) => one.points.map(([at]) => at)));
      return [...all].sort((a, b) => a - b);
    }
    value(one, at) {
      if (this.chart.read === "curve") {
        const { points } = one;
        if (!points.length || at < points[0][0]) return { at, value: 0 };
        let [low, high] = [0, points.length - 1];
        while (low < high) {
          const middle = Math.ceil((low + high) / 2);
          if (points[middle][0] <= at) low = middle; else high = middle - 1;
        }
        const [a, b] = [points[low], points[Math.min(low + 1, points.length - 1)]];
        const part = b[0] > a[0] ? (at - a[0]) / (b[0] - a[0]) : 0;
        return { at, value: a[1] + (b[1] - a[1]) * part };
      }
      let best = null;
      for (const [x, value] of one.points) {
        if (value !== null && (best === null || Math.abs(x - at) < Math.abs(best.at - at))) best = { at: x, value };
      }
      return best;
    }
    show(at, told) {
      const { chart, area } = this;
      this.overlay.replaceChildren();
      this.tip.hidden = true;
      let place = at;
      if (chart.read === "nearest") {
        const stops = this.stops();
        if (!stops.length) return;
        place = stops.reduce((best, stop) => (Math.abs(stop - at) < Math.abs(best - at) ? stop : best));
      }
      const line = this.x(place);
      draw("line", { class: "cursor", x1: line, x2: line, y1: area.top, y2: area.bottom }, this.overlay);
      const rows = this.visible.map((one) => ({ one, found: this.value(one, place) }));
      const apart = (this.stops()[1] - this.stops()[0]) * 1.5 || Infinity;
      for (const row of rows) {
        if (row.found && chart.read === "nearest" && Math.abs(row.found.at - place) > apart) row.found = null;
        if (row.found) {
          draw("circle", { class: `dot ${row.one.tone}`, cx: this.x(row.found.at), cy: this.y(row.found.value), r: 4 }, this.overlay);
        }
      }
      if (told) this.tell(place, line, rows);
    }
    tell(place, line, rows) {
      const { chart, tip } = this;
      tip.replaceChildren();
      const unit = chart.x.unit;
      make("b", {}, tip, chart.read === "curve" ? `within ${shown(place, unit)}` : unit ? shown(place, unit) : `at ${plain(place)} s`);
      for (const { one, found } of rows) {
        const row = make("div", { class: one.tone }, tip, one.name);
        make("span", {}, row, found ? shown(found.value, chart.y.unit) : "–");
      }
      tip.hidden = false;
      const ratio = this.svg.getBoundingClientRect().width / this.width;
      const [at, room] = [line * ratio, this.box.clientWidth];
      const over = at + 14 + tip.offsetWidth > room;
      tip.style.left = `${Math.max(0, over ? at - 14 - tip.offsetWidth : at + 14)}px`;
      tip.style.top = `${this.svg.offsetTop + this.area.top + 8}px`;
    }
    clear() {
      this.tip.hidden = true;
      if (this.overlay) this.overlay.replaceChildren();
    }
  }

  class Panel {
    constructor(data, host) {
      this.data = data;
      this.hidden = new Set();
      this.scales = {};
      this.charts = [];
      this.at = null;
      this.host = host;
      host.replaceChildren();
      const id = `panel-${data.name}`;
      this.controls = make("div", { class: "controls" }, host);
      const tabs = make("div", { class: "tabs", role: "tablist", "aria-label": data.title }, this.controls);
      this.switches = make("div", { class: "controls" }, this.controls);
      this.switches.style.margin = "0";
      this.body = make("div", { role: "tabpanel", id }, host);
      this.buttons = data.tabs.map((tab, place) => {
        const button = make("button", { type: "button", role: "tab", id: `${id}-${place}`, "aria-controls": id }, tabs, tab.name);
        button.addEventListener("click", () => this.open(place));
        button.addEventListener("keydown", (event) => this.move(event, place));
        return button;
      });
      if (data.tabs.length === 1) tabs.hidden = true;
      this.open(0);
      this.controls.hidden = data.tabs.length === 1 && !this.switches.childElementCount;
      new ResizeObserver(() => {
        if (this.charts.some((chart) => chart.width !== Math.max(260, chart.box.clientWidth))) this.render();
      }).observe(host);
    }
    get stacked() { return this.data.tabs[this.place].charts.length > 1; }
    scale(axis, chart) {
      const offered = chart[axis].scales;
      return offered.includes(this.scales[axis]) ? this.scales[axis] : offered[0];
    }
    move(event, place) {
      const last = this.buttons.length - 1;
      const target = { ArrowRight: place === last ? 0 : place + 1, ArrowLeft: place === 0 ? last : place - 1, Home: 0, End: last }[event.key];
      if (target === undefined) return;
      event.preventDefault();
      this.open(target);
      this.buttons[target].focus();
    }
    open(place) {
      this.place = place;
      this.at = null;
      this.buttons.forEach((button, n) => {
        button.setAttribute("aria-selected", String(n === place));
        button.tabIndex = n === place ? 0 : -1;
      });
      this.body.setAttribute("aria-labelledby", this.buttons[place].id);
      this.body.replaceChildren();
      this.charts = [];
      this.charts = this.data.tabs[place].charts.map((chart) => new Chart(this, chart, this.body));
      this.choices(this.data.tabs[place].charts[0]);
      this.render();
    }
    choices(chart) {
      this.switches.replaceChildren();
      const words = { linear: "linear", log: "log", tail: "tail" };
      for (const axis of ["x", "y"]) {
        if (chart[axis].scales.length < 2) continue;
        const name = chart[axis].unit === "share" ? "Share" : "Time";
        const group = make("div", { class: "switch", role: "group", "aria-label": `${name} axis` }, this.switches);
        make("span", {}, group, name);
        for (const kind of chart[axis].scales) {
          const pressed = this.scale(axis, chart) === kind;
          const button = make("button", { type: "button", "aria-pressed": String(pressed), "data-scale": `${axis}-${kind}` }, group, words[kind]);
          button.addEventListener("click", () => {
            this.scales[axis] = kind;
            for (const other of group.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
            this.render();
          });
        }
      }
    }
    render() { for (const chart of this.charts) chart.render(); }
    read(from, at) {
      this.at = at;
      for (const chart of this.charts) chart.show(at, chart === from);
    }
    leave() {
      this.at = null;
      for (const chart of this.charts) chart.clear();
    }
  }

  for (const data of panels) {
    const host = document.querySelector(`[data-panel="${data.name}"]`);
    if (host) new Panel(data, host);
  }
  document.documentElement.dataset.ready = "true";
})();
