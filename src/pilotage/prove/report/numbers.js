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
