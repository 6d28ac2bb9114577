// Making elements. All text goes through textContent: names and messages come from servers.
const SVG = "http://www.w3.org/2000/svg";

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
