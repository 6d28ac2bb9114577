// One chart: drawn as SVG, read by pointer, by arrow keys, or with the others of a stack.
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
