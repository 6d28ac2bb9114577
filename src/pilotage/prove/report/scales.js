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
