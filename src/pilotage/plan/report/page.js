"use strict";
// Reads values out of the charts: by pointer, or by arrow keys. Charts show without it.
(() => {
  const REACH = 36;
  for (const figure of document.querySelectorAll(".chart")) {
    const svg = figure.querySelector("svg");
    const marks = [...figure.querySelectorAll(".mark")].map((node) => {
      const title = node.querySelector("title");
      const lines = title.textContent.split("\n");
      title.remove(); // or the browser would show its own tip as well
      return { node, lines, x: Number(node.dataset.x), y: Number(node.dataset.y), box: node.querySelector("rect") };
    });
    if (!marks.length) continue;
    const order = [...marks].sort((a, b) => a.x - b.x || a.y - b.y);
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.setAttribute("role", "status");
    tip.hidden = true;
    figure.append(tip);
    let now = null;
    const clear = () => {
      if (now) now.node.classList.remove("on");
      now = null;
      tip.hidden = true;
    };
    const show = (mark) => {
      if (mark === now) return;
      clear();
      now = mark;
      mark.node.classList.add("on");
      tip.replaceChildren(...mark.lines.map((line, place) => {
        const row = document.createElement(place ? "div" : "b");
        row.textContent = line;
        return row;
      }));
      tip.hidden = false;
      const frame = svg.getBoundingClientRect(), around = figure.getBoundingClientRect();
      const ratio = frame.width / svg.viewBox.baseVal.width;
      const at = frame.left - around.left + mark.x * ratio;
      const down = frame.top - around.top + mark.y * ratio;
      const over = at + 14 + tip.offsetWidth > figure.clientWidth;
      tip.style.left = `${Math.max(0, over ? at - 14 - tip.offsetWidth : at + 14)}px`;
      tip.style.top = `${Math.max(0, down - tip.offsetHeight / 2)}px`;
    };
    const near = (event) => {
      const frame = svg.getBoundingClientRect();
      const ratio = svg.viewBox.baseVal.width / frame.width;
      const x = (event.clientX - frame.left) * ratio, y = (event.clientY - frame.top) * ratio;
      const on = marks.find((mark) => mark.box && mark.box.matches(":hover"));
      if (on) { show(on); return; }
      let best = null, least = figure.dataset.by === "x" ? Infinity : REACH;
      for (const mark of marks) {
        if (mark.box) continue;
        const away = figure.dataset.by === "x" ? Math.abs(mark.x - x) : Math.hypot(mark.x - x, mark.y - y);
        if (away < least) [best, least] = [mark, away];
      }
      if (best) show(best); else clear();
    };
    svg.addEventListener("pointermove", near);
    svg.addEventListener("pointerdown", near);
    svg.addEventListener("pointerleave", clear);
    svg.addEventListener("blur", clear);
    svg.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { clear(); return; }
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const place = now ? order.indexOf(now) + step : step > 0 ? 0 : order.length - 1;
      if (order[place]) show(order[place]);
    });
  }
  addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("details")) folded.open = true;
  });
  document.documentElement.dataset.ready = "true";
})();
