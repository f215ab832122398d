// Sorting, filtering and other volumes of money. The page is whole without it.
"use strict";
{
  const make = (tag, text, attributes = {}) => {
    const node = Object.assign(document.createElement(tag), { textContent: text });
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };

  // the number that a cell begins with, in its unit; null where it has none, which sorts last
  const UNITS = { "µs": 1e-6, ms: 1e-3, s: 1, min: 60, B: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };
  const number = (cell) => {
    if (/^\s*\d{4}-\d\d-\d\d/.test(cell.innerText)) return Date.parse(cell.innerText.trim().replace(" ", "T"));
    const text = cell.innerText.replaceAll(",", "").replace("−", "-").replace(/^[▲≈]|under /, "");
    const found = text.match(/^\s*\$?([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*(µs|ms|min|kB|MB|GB|TB|s|B)?/);
    return found ? Number(found[1]) * (UNITS[found[2]] ?? 1) : null;
  };
  const order = (a, b) => {
    const [x, y] = [number(a), number(b)];
    if (x === null || y === null) return x === y ? a.innerText.localeCompare(b.innerText) : x === null ? Infinity : -Infinity;
    return x - y;
  };

  for (const table of document.querySelectorAll("table")) {
    const heads = [...table.querySelectorAll("thead th")];
    if (table.tBodies[0]?.rows.length < 2) continue;
    heads.forEach((head, column) => {
      const button = make("button", "", { type: "button", class: "sort" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "descending";
        heads.forEach((h) => h.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => {
          const found = order(a.cells[column], b.cells[column]);
          return Math.abs(found) === Infinity ? found : down ? found : -found; // what has no number stays last
        });
        table.tBodies[0].append(...rows);
      });
    });
  }

  const asked = document.getElementById("asked");
  const questions = [...document.querySelectorAll("details.question")];
  if (asked && questions.length > 1) {
    const outcomes = questions.map((q) => JSON.parse(q.dataset.outcomes));
    const choose = (label, values) => {
      const select = make("select", "", { id: `asked-${label}` });
      select.append(...values.map(([value, text]) => make("option", text, { value })));
      select.addEventListener("change", filter);
      bar.append(make("label", label, { for: select.id }), select);
      return select;
    };
    const bar = make("div", "", { class: "filter" });
    const plain = (values) => [...new Set(values)].sort().map((v) => [v, v]);
    const systems = plain(outcomes.flatMap(Object.keys));
    const stratum = choose("Stratum", [["", "all"], ...plain(questions.map((q) => q.dataset.stratum))]);
    const system = choose("System", [["", "any"], ...systems]);
    const outcome = choose("Outcome", [["", "any"], ...plain(outcomes.flatMap(Object.values))]);
    const against = choose("Answered correctly by", [["", "any system"], ...systems]);
    const shown = make("output", "", { "aria-live": "polite" });
    bar.append(shown);
    asked.before(bar);
    function filter() {
      questions.forEach((q, i) => {
        const mine = system.value ? [outcomes[i][system.value]] : Object.values(outcomes[i]);
        q.hidden = !(
          (!stratum.value || q.dataset.stratum === stratum.value) &&
          (!outcome.value || mine.includes(outcome.value)) &&
          (!against.value || outcomes[i][against.value] === "right")
        );
      });
      shown.textContent = `${questions.filter((q) => !q.hidden).length} of ${questions.length} shown`;
    }
    filter();
  }

  // the same sum as the page's: fixed + questions + updates
  const money = (usd) => (usd === 0 ? "$0" : usd < 1e-4 ? "under $0.0001" : usd < 99.5 ? "$" + Number(usd.toPrecision(2)) : "$" + Math.round(usd).toLocaleString("en"));
  const priced = [...document.querySelectorAll("td[data-fixed]")];
  if (priced.length) {
    const box = document.querySelector(".money");
    const bar = make("div", "", { class: "filter" });
    const fields = ["questions", "updates"].map((what) => {
      const place = box.querySelector(`[data-shown=${what}]`);
      const value = place.textContent.replaceAll(",", "");
      const input = make("input", "", { id: `money-${what}`, type: "number", min: "0", step: "any", value });
      bar.append(make("label", `${what[0].toUpperCase()}${what.slice(1)} a month`, { for: input.id }), input);
      input.addEventListener("input", again);
      return [input, place];
    });
    box.before(bar);
    function again() {
      const [questions, updates] = fields.map(([input]) => Number(input.value));
      if (fields.some(([input]) => input.value === "" || !input.validity.valid)) return;
      fields.forEach(([input, place]) => (place.textContent = Number(input.value).toLocaleString("en")));
      for (const cell of priced) {
        const { fixed, thousand, refresh } = cell.dataset;
        const unknown = updates > 0 && refresh === undefined;
        cell.textContent = unknown ? "not priced" : money(Number(fixed) + (questions * Number(thousand)) / 1000 + updates * Number(refresh ?? 0));
      }
    }
  }

  // a closed part does not print
  addEventListener("beforeprint", () => document.querySelectorAll("details:not([open], .question)").forEach((d) => {
    d.open = true;
    d.dataset.closed = "";
  }));
  addEventListener("afterprint", () => document.querySelectorAll("details[data-closed]").forEach((d) => {
    d.open = false;
    delete d.dataset.closed;
  }));
}
