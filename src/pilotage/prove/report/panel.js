// A panel: tabs, switches for its axes, and the charts of the open tab.
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
