// Puts the panels where the page has left room for them.
const { panels } = JSON.parse(document.getElementById("pilotage-data").textContent);
for (const data of panels) {
  const host = document.querySelector(`[data-panel="${data.name}"]`);
  if (host) new Panel(data, host);
}
document.documentElement.dataset.ready = "true";
