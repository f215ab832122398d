// Sorting, the picker of two systems, every question, and other volumes of money. The page is whole without it.
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

  const select = (bar, label, values) => {
    const field = make("select", "", { id: `choose-${label.toLowerCase().replaceAll(" ", "-")}` });
    field.append(...values.map(([value, text]) => make("option", text, { value })));
    const both = make("span", "", { class: "field" }); // on one line
    both.append(make("label", label, { for: field.id }), " ", field);
    bar.append(both);
    return field;
  };
  const plain = (values) => [...new Set(values)].sort().map((v) => [v, v]);
  const hash = () => new URLSearchParams(location.hash.slice(1));

  // any two systems, kept in the address: #compare=a,b
  const table = document.getElementById("pair");
  if (table) {
    const { texts, differences } = JSON.parse(document.getElementById("profiles").textContent);
    const bar = make("div", "", { class: "filter" });
    const names = Object.keys(texts).map((n) => [n, n]);
    const sides = ["First", "Second"].map((label) => select(bar, label, names));
    table.closest(".scroll").before(bar);
    const heads = [...table.tHead.rows[0].cells].slice(1);
    const show = () => {
      sides.forEach((side, i) => {
        (heads[i].querySelector("button") ?? heads[i]).textContent = side.value;
        [...table.tBodies[0].rows].forEach((row) => (row.cells[i + 1].textContent = texts[side.value][row.dataset.place]));
      });
      const told = document.getElementById("pair-difference");
      told.textContent = `${differences[sides.map((s) => s.value).join(" − ")] ?? ""} `;
      const two = sides.map((s) => encodeURIComponent(s.value)).join(",");
      if (document.getElementById("every") && sides[0].value !== sides[1].value) told.append(make("a", "Questions on which they differ", { href: `#differ=${two}` }));
    };
    [...table.tBodies[0].rows].forEach((row, place) => (row.dataset.place = place));
    const read = () => {
      const asked = (hash().get("compare") ?? "").split(",");
      sides.forEach((side, i) => (side.value = asked[i] in texts ? asked[i] : table.dataset[i ? "second" : "first"]));
      show();
      if (hash().get("compare")) document.getElementById("compare").scrollIntoView();
    };
    sides.forEach((side) => side.addEventListener("change", () => {
      history.replaceState(null, "", `#compare=${sides.map((s) => encodeURIComponent(s.value)).join(",")}`);
      show();
    }));
    addEventListener("hashchange", () => hash().get("compare") && read()); // another link leaves the choice as it is
    read();
  }

  // what the page carries packed, as a promise of its text
  const unpacked = (node) => {
    const bytes = Uint8Array.from(atob(node.textContent.trim()), (c) => c.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const unpacks = "DecompressionStream" in window;

  // every question, ten at a time, one of them in the address: #q=ID; or those of an outcome: #system=a&outcome=misread
  const every = document.getElementById("every");
  if (every && unpacks) unpacked(every).then((text) => listed(JSON.parse(text)));
  // a prompt before the chat template of the model, as systems/parts/prompt.py makes it
  const filled = (template, values) => template.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
  const sent = (prompt, question, hits, passages) => {
    const shown = (hits ?? []).map(([chunk], i) => filled(prompt.passage, { n: i + 1, title: passages[chunk][0], text: passages[chunk][1] }));
    const asked = filled(hits ? prompt.open_book : prompt.closed_book, { passages: shown.join(""), question: question.text });
    const among = question.choices.length ? filled(prompt.choices, { choices: question.choices.join(", ") }) : "";
    return (prompt.system ? `${prompt.system}\n\n` : "") + asked + among;
  };
  function listed({ questions, passages, prompts, outcomes }) {
    const PAGE = 10;
    const box = document.getElementById("asked");
    const systems = plain(questions.flatMap((q) => Object.keys(q.said)));
    const bar = make("div", "", { class: "filter" });
    const type = select(bar, "Type", [["", "all"], ...plain(questions.map((q) => q.type))]);
    const system = select(bar, "System", [["", "any"], ...systems]);
    const outcome = select(bar, "Outcome", [["", "any"], ...plain(questions.flatMap((q) => Object.values(q.said).map((s) => s[1])))]);
    const other = select(bar, "Differs from", [["", "any system"], ...systems]);
    const shown = make("output", "", { "aria-live": "polite" });
    const back = make("button", "Previous", { type: "button" });
    const on = make("button", "Next", { type: "button" });
    bar.append(back, on, shown);
    box.before(bar);
    document.getElementById("asked-about").textContent = "Every question, those first on which systems differ most. Open one for its passages and every answer.";
    let first = 0;
    let found = []; // the questions that fit, in the order of the page
    const fits = (q) => {
      const mine = system.value ? [q.said[system.value]?.[1]] : Object.values(q.said).map((s) => s[1]);
      const right = (name) => (q.said[name]?.[1] ?? "").startsWith("right");
      return (!type.value || q.type === type.value) && (!outcome.value || mine.includes(outcome.value)) &&
        (!other.value || !system.value || right(other.value) !== right(system.value));
    };
    const draw = (open) => {
      other.disabled = !system.value; // of two systems both are needed
      found = questions.filter(fits);
      const at = open ? found.findIndex((q) => q.id === open) : -1;
      if (at >= 0) first = at - (at % PAGE);
      first = Math.max(0, Math.min(first, found.length - 1 - ((found.length - 1) % PAGE)));
      const page = found.slice(first, first + PAGE);
      box.replaceChildren(...page.map((q) => question(q, q.id === open)));
      shown.textContent = found.length ? `${first + 1} to ${first + page.length} of ${found.length}` : "none";
      back.disabled = first === 0;
      on.disabled = first + PAGE >= found.length;
    };
    // a text with the answer that it holds marked
    const marked = (text, answers) => {
      const answer = (answers ?? []).find((a) => a && text.toLowerCase().includes(a.toLowerCase()));
      const place = answer ? text.toLowerCase().indexOf(answer.toLowerCase()) : -1;
      const node = make("span", "", { dir: "auto" });
      if (place < 0) node.append(text);
      else node.append(text.slice(0, place), make("mark", text.slice(place, place + answer.length)), text.slice(place + answer.length));
      return node;
    };
    function question(q, isOpen) {
      const node = make("details", "", { class: "question", id: `question-${q.id}` });
      const head = make("summary", "");
      head.append(make("span", q.text, { dir: "auto" }), " ", make("span", `(${q.type})`, { class: "soft" }));
      node.append(head);
      node.addEventListener("toggle", () => node.open && node.childElementCount === 1 && fill(node, q), { once: true });
      node.open = isOpen;
      return node;
    }
    function fill(node, q) {
      const right = make("p", "Right answer: ");
      right.append(make("strong", q.answers === null ? "no reference" : q.answers.join(" / ") || "abstain: the corpus does not say", { dir: "auto" }));
      const at = found.indexOf(q);
      for (const [to, label] of [[q, "link to this question"], [found[at - 1], "previous"], [found[at + 1], "next"]]) {
        if (to) right.append(" ", make("a", label, { href: `#q=${encodeURIComponent(to.id)}` }));
      }
      const answers = make("table", "", { class: "text" });
      answers.append(make("thead", ""), make("tbody", ""));
      answers.tHead.insertRow().append(...["System", "Outcome", "Answer", "Passages shown, gold in bold"].map((t) => make("th", t, { scope: "col" })));
      const seen = new Map();
      const read = new Map(); // prompt -> the systems that it was sent to
      for (const [name, [text, what, hits, failed, tokens]] of Object.entries(q.said)) {
        const row = answers.tBodies[0].insertRow();
        const became = make("td", what, what.startsWith("right") ? { class: "confirmed" } : {});
        became.append(make("span", outcomes[what], { class: "low" })); // why it was scored so
        row.append(make("th", name, { scope: "row" }), became);
        row.append(make("td", failed ? `failed: ${text}` : text || "(nothing)", { dir: "auto" }));
        const cell = make("td", hits ? "" : "n/a");
        (hits ?? []).forEach(([chunk, passage, score], i) => {
          seen.set(chunk, passage);
          cell.append(i ? ", " : "", make(q.gold.includes(passage) ? "strong" : "span", chunk), ` ${score}`);
        });
        row.append(cell);
        if (tokens === null || !prompts[name]) continue;
        const whole = sent(prompts[name], q, hits, passages);
        read.set(whole, [...(read.get(whole) ?? []), `${name} (${tokens} tokens)`]);
      }
      q.gold.filter((id) => id in passages).forEach((id) => seen.has(id) || seen.set(id, id));
      const texts = make("details", "");
      texts.append(make("summary", `${seen.size} passages`));
      const golds = [...seen].sort((a, b) => q.gold.includes(b[1]) - q.gold.includes(a[1]));
      for (const [chunk, passage] of golds) {
        const [title, text] = passages[chunk] ?? ["", ""];
        const p = make("p", "", { class: "passage" });
        p.append(make(q.gold.includes(passage) ? "strong" : "span", `${chunk}${q.gold.includes(passage) ? " (gold)" : ""} ${title} `), marked(text, q.gold.includes(passage) ? q.answers : []));
        texts.append(p);
      }
      const scroll = make("div", "", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Answers" });
      scroll.append(answers);
      node.append(right, scroll, texts);
      for (const [whole, names] of read) {
        const box = make("details", "");
        box.append(make("summary", `Prompt as sent to ${names.join(", ")}, before the chat template`), make("pre", whole, { dir: "auto", tabindex: "0" }));
        node.append(box);
      }
    }
    const turn = (to) => {
      first = to;
      draw();
    };
    const go = () => {
      const wanted = hash();
      if (!["q", "outcome", "differ"].some((key) => wanted.has(key))) return;
      const within = found.some((q) => q.id === wanted.get("q")); // the next one of those that were asked for
      for (const field of within ? [] : [type, system, outcome, other]) field.value = "";
      if (wanted.has("outcome")) [system.value, outcome.value] = [wanted.get("system"), wanted.get("outcome")];
      if (wanted.has("differ")) [system.value, other.value] = wanted.get("differ").split(",");
      first = 0;
      draw(wanted.get("q"));
      if (wanted.has("q") && !found.some((q) => q.id === wanted.get("q"))) shown.textContent = `There is no question ${wanted.get("q")}.`;
      (document.getElementById(`question-${wanted.get("q")}`) ?? bar).scrollIntoView();
    };
    for (const field of [type, system, outcome, other]) field.addEventListener("change", () => turn(0));
    back.addEventListener("click", () => turn(first - PAGE));
    on.addEventListener("click", () => turn(first + PAGE));
    addEventListener("hashchange", go);
    draw();
    go();
  }

  // every heading can be linked to
  for (const head of document.querySelectorAll("h4")) {
    const text = head.textContent;
    head.id ||= `${head.closest("details, section").id || "in"}-${text.toLowerCase().replace(/[^a-z0-9]+/g, "-")}`;
    head.append(" ", make("a", "#", { class: "anchor", href: `#${head.id}`, "aria-label": `Link to ${text}` }));
  }

  // what is linked to is opened; "Open all" is for printing everything
  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  };
  addEventListener("hashchange", reveal);
  reveal();
  const nav = document.querySelector("nav");
  const clear = () => document.documentElement.style.setProperty("scroll-padding-top", `${nav.offsetHeight + 6}px`);
  if (nav) {
    clear(); // what is linked to is not under the bar
    addEventListener("resize", clear);
  }
  const folds = [...document.querySelectorAll("main details:not(.question)")];
  if (nav && folds.length) {
    const all = make("button", "Open all", { type: "button" });
    all.addEventListener("click", () => {
      const open = folds.some((d) => !d.open);
      folds.forEach((d) => (d.open = open));
      all.textContent = open ? "Close all" : "Open all";
    });
    nav.append(all);
  }

  // each chart's figures as CSV, and its drawing as SVG
  const save = (name, text, type) => {
    const link = make("a", "", { download: name, href: URL.createObjectURL(new Blob([text], { type })) });
    link.click();
    URL.revokeObjectURL(link.href);
  };
  const quoted = (value) => (typeof value === "number" ? value : `"${String(value).replace(/^[=+@-](?![\d.])/, "'$&").replaceAll('"', '""')}"`);
  const csv = (rows) => rows.map((row) => row.map(quoted).join(",")).join("\n");
  const saver = (bar, label, act) => {
    const node = make("button", label, { type: "button" });
    node.addEventListener("click", act);
    bar.append(node, " ");
  };
  document.querySelectorAll("figure").forEach((figure, number) => {
    const svg = figure.querySelector("svg");
    const bar = make("p", "", { class: "saves" });
    if (svg) saver(bar, "Save as SVG", () => save(`chart-${number + 1}.svg`, svg.outerHTML, "image/svg+xml"));
    saver(bar, "Save as CSV", () => save(`chart-${number + 1}.csv`, figure.dataset.csv, "text/csv"));
    figure.querySelector("details").append(bar);
  });

  // the whole of scores.json, and its scores as a table
  const whole = document.getElementById("scores");
  if (whole && unpacks) {
    const bar = document.getElementById("scores-saves");
    const COLUMNS = ["mean", "low", "high", "n", "clusters", "method"];
    const failed = (name) => [[name, "", "", ...COLUMNS.map((c) => (c === "n" || c === "clusters" ? 0 : "")), "failed"]];
    const table = ({ systems }) => [["system", "metric", "stratum", ...COLUMNS, "status"]].concat(
      Object.entries(systems).flatMap(([name, { scores, status }]) => status === "failed" ? failed(name) :
        Object.entries(scores).filter(([, found]) => found).flatMap(([metric, found]) =>
          Object.entries({ all: found, ...found.strata }).filter(([, part]) => part).map(([stratum, part]) =>
            [name, metric, stratum, ...COLUMNS.map((c) => part[c]), status]))));
    bar.append("Scores of the whole run: ");
    saver(bar, "Save as CSV", async () => save("scores.csv", csv(table(JSON.parse(await unpacked(whole)))), "text/csv"));
    saver(bar, "Save as JSON", async () => save("scores.json", await unpacked(whole), "application/json"));
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
}
