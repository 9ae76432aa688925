// Data are loaded from script files that call advcluster.receive. They contain model output, which is inserted as text
// nodes only, never as markup, and enters no address or file name except the percent-encoded fragment.
(() => {
  const manifest = JSON.parse(document.getElementById("manifest").textContent);
  const STAGES = ["Reading", "Comprehension", "Transformation", "Process Skills", "Encoding"];
  const FACETS = ["cluster", "domain", "benchmark", "stage"];
  const FILTERS = [...FACETS, "q"];
  const REPEATED = "repeated", UNCLUSTERED = "unclustered", NO_ERROR = "none";
  const BATCH = 100, FAR = 500;
  const at = (id) => document.getElementById(id);
  const shown = at("shown"), results = at("results"), search = at("search");

  // ---- Elements and text -------------------------------------------------------------------------------------------

  // Show control, zero-width and bidirectional characters by code point, so that none are hidden.
  const HIDDEN = /[\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu;
  function visible(text) {
    return text.replace(HIDDEN, (c) => {
      if (c === "\n" || c === "\t") return c;
      return c === "\r" ? "" : `[U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`;
    });
  }

  function el(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  }

  const foreign = (text, tag = "bdi", className = "") => el(tag, { className, dir: "auto" }, visible(text ?? ""));
  // A model in a sentence: its label if the study defines one, else its role.
  const the = (family, role, noun = "model") => (family.is_labelled ? visible(family[role]) : `the ${role} ${noun}`.trimEnd());
  const counted = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

  // ---- Data ----------------------------------------------------------------------------------------------------------

  const received = new Map(), loading = new Map(), families = new Map();
  window.advcluster = Object.freeze({ receive: (name, data) => received.set(name, data) });

  function load(name) {
    if (!loading.has(name)) {
      loading.set(name, new Promise((resolve, reject) => {
        const fail = () => { loading.delete(name); reject(new Error(name)); };
        const script = el("script", { src: `${manifest.folder}/${name}.js` });
        script.onload = () => (received.has(name) ? resolve(received.get(name)) : fail());
        script.onerror = fail;
        document.head.append(script);
      }));
    }
    return loading.get(name);
  }

  const fold = (text) => text.normalize("NFKC").toLowerCase();

  // A family as columns of numbers, to handle 100,000 pairs. An advantage is an index i, a pair an index p.
  async function openFamily(number) {
    if (families.has(number)) return families.get(number);
    const index = await load(`${number}-index`), { clusters, questions, pairs, advantages } = index;
    const n = advantages.cluster.length, nPairs = pairs.question.length;
    const firstOf = new Int32Array(nPairs + 1), pairOf = new Int32Array(n);
    for (let p = 0; p < nPairs; p += 1) {
      firstOf[p + 1] = firstOf[p] + pairs.n_advantages[p];
      pairOf.fill(p, firstOf[p], firstOf[p + 1]);
    }
    const clusterName = (cluster) => (cluster === -2 ? REPEATED : cluster === -1 ? UNCLUSTERED : String(cluster));
    const values = {
      cluster: [...new Set([...clusters.map((c) => String(c.cluster_id)), ...new Set(advantages.cluster)].map((c) => (typeof c === "string" ? c : clusterName(c))))],
      domain: index.domains, benchmark: index.benchmarks.map((name) => name ?? ""), stage: index.stages.map((name) => name ?? NO_ERROR),
    };
    const clusterCodes = new Map(values.cluster.map((name, code) => [name, code]));
    const codes = {
      cluster: Uint32Array.from(advantages.cluster, (cluster) => clusterCodes.get(clusterName(cluster))),
      domain: Uint32Array.from(pairOf, (p) => questions.domain[pairs.question[p]]),
      benchmark: Uint32Array.from(pairOf, (p) => questions.benchmark[pairs.question[p]]),
      stage: Uint32Array.from(pairOf, (p) => pairs.stage[p]),
    };
    const family = {
      number, ...manifest.families[number], clusters, reason: index.no_taxonomy_reason, index, n, nPairs, firstOf, pairOf, values, codes,
      names: new Map(clusters.map((c) => [String(c.cluster_id), c.tag ?? "(no usable name)"])),
      texts: [], haystacks: [],
    };
    family.all = Int32Array.from({ length: n }, (_, i) => i);
    family.totals = Object.fromEntries(FACETS.map((facet) => [facet, tally(family, family.all, facet)]));
    families.set(number, family);
    return family;
  }

  const pairId = ({ index: { questions, pairs } }, p) => `${questions.id[pairs.question[p]]}:${pairs.index[p]}`;
  const advantageId = (family, i) => `${pairId(family, family.pairOf[i])}:${family.index.advantages.position[i]}`;

  // Index of the pair or advantage with an id; -1 if there is none.
  function findPair(family, id) {
    family.firstPair ??= firstPairs(family);
    const { questions, pairs } = family.index, cut = id.lastIndexOf(":");
    let p = family.firstPair.get(id.slice(0, cut)) ?? family.nPairs;
    const question = pairs.question[p];
    while (p < family.nPairs && pairs.question[p] === question && pairId(family, p) !== id) p += 1;
    return p < family.nPairs && questions.id[pairs.question[p]] === id.slice(0, cut) ? p : -1;
  }

  function firstPairs({ nPairs, index: { questions, pairs } }) {
    const first = new Map();
    for (let p = nPairs - 1; p >= 0; p -= 1) first.set(questions.id[pairs.question[p]], p);
    return first;
  }

  function findAdvantage(family, id) {
    const p = findPair(family, id.slice(0, Math.max(0, id.lastIndexOf(":"))));
    for (let i = family.firstOf[p] ?? 0; p >= 0 && i < family.firstOf[p + 1]; i += 1) if (advantageId(family, i) === id) return i;
    return -1;
  }

  // Texts of advantages are loaded by file; a row holds all data of an advantage.
  const fileOf = (family, i) => Math.floor(i / family.index.texts_per_file);

  async function readTexts(family, places) {
    const files = new Set();
    for (const i of places) files.add(fileOf(family, i));
    await Promise.all([...files].map(async (file) => { family.texts[file] ??= await load(`${family.number}-texts-${file}`); }));
  }

  function rowAt(family, i) {
    const [text, evidence, repeats] = family.texts[fileOf(family, i)][i % family.index.texts_per_file];
    const facets = Object.fromEntries(FACETS.map((facet) => [facet, family.values[facet][family.codes[facet][i]]]));
    return { i, id: advantageId(family, i), pair: family.pairOf[i], text, evidence, repeats, ...facets };
  }

  function haystackAt(family, i) {
    const file = fileOf(family, i), size = family.index.texts_per_file;
    family.haystacks[file] ??= family.texts[file].map(([text, evidence], place) => fold(`${text}\n${evidence}\n${advantageId(family, file * size + place)}`));
    return family.haystacks[file][i % size];
  }

  // Number of the given advantages by value code of a facet.
  function tally(family, places, facet) {
    const counts = new Uint32Array(family.values[facet].length), codes = family.codes[facet];
    for (const i of places) counts[codes[i]] += 1;
    return counts;
  }

  // Indices of the advantages that pass all filters, and for each value of a filter the number that pass the others.
  async function choose(family, state, visit) {
    const words = fold(state.q).split(/\s+/).filter(Boolean);
    if (words.length && family.n) {
      if (!family.isRead) at("tally").textContent = `Reading ${counted(family.n, "text")}…`;
      await readTexts(family, family.all);
      family.isRead = true;
      if (visit !== visits) return null;
    }
    const required = FACETS.map((facet) => (state[facet] ? family.values[facet].indexOf(state[facet]) : null));
    const columns = FACETS.map((facet) => family.codes[facet]);
    const counts = FACETS.map((facet) => new Uint32Array(family.values[facet].length)), chosen = [];
    for (let i = 0; i < family.n; i += 1) {
      if (words.length) {
        const haystack = haystackAt(family, i);
        if (!words.every((word) => haystack.includes(word))) continue;
      }
      let missed = -1, nMissed = 0;
      for (let f = 0; f < columns.length; f += 1) {
        if (required[f] !== null && required[f] !== columns[f][i]) { missed = f; nMissed += 1; }
      }
      if (!nMissed) {
        chosen.push(i);
        for (let f = 0; f < columns.length; f += 1) counts[f][columns[f][i]] += 1;
      } else if (nMissed === 1) counts[missed][columns[missed][i]] += 1;
    }
    return { chosen, counts: Object.fromEntries(FACETS.map((facet, f) => [facet, counts[f]])) };
  }

  // ---- State: the address's fragment ------------------------------------------------------------------------------------

  const KEYS = ["family", ...FILTERS, "advantage", "pair", "view"];

  function readState() {
    const given = new URLSearchParams(location.hash.slice(1));
    return Object.fromEntries(KEYS.map((key) => [key, given.get(key) ?? ""]));
  }

  function address(state) {
    const given = new URLSearchParams();
    for (const key of KEYS) if (state[key]) given.set(key, state[key]);
    return `#${given}`;
  }

  const without = (state, ...keys) => ({ ...state, ...Object.fromEntries(keys.map((key) => [key, ""])) });
  const overview = (state) => without(state, ...FILTERS, "advantage", "pair", "view");
  const link = (state, properties, ...children) => el("a", { href: address(state), ...properties }, ...children);

  // A link to an advantage or pair may omit the family: the first one that contains it is used.
  async function familyOf(state) {
    const named = manifest.families.findIndex((family) => family.name === state.family);
    if (named >= 0) return openFamily(named);
    for (let number = 0; number < manifest.families.length && (state.advantage || state.pair); number += 1) {
      const family = await openFamily(number).catch(() => null);
      if (family === null) continue;  // another family may contain it
      if (findAdvantage(family, state.advantage) >= 0 || findPair(family, state.pair) >= 0) return family;
    }
    return openFamily(0);
  }

  // ---- The finder: filters and list ------------------------------------------------------------------------------------

  let current = { state: null, family: null, chosen: [], filters: "", place: -1, from: 0, to: 0 };

  function clusterName(family, value) {
    if (value === REPEATED) return "excluded as duplicates";
    if (value === UNCLUSTERED) return "in no cluster";
    return family.names.has(value) ? `#${value} ${family.names.get(value)}` : `#${value}`;
  }

  function valuesOf(family, facet) {
    const present = family.values[facet].filter((_, code) => family.totals[facet][code]);
    if (facet === "stage") return [...STAGES, NO_ERROR].filter((stage) => present.includes(stage));
    if (facet !== "cluster") return present;
    return [...family.names.keys(), REPEATED, UNCLUSTERED].filter((value) => present.includes(value));
  }

  function fillFilters(family, state, counts) {
    for (const facet of FACETS) {
      const select = at(facet);
      if (select.dataset.family !== family.name) {
        select.dataset.family = family.name;
        select.replaceChildren(...["", ...valuesOf(family, facet)].map((value) => el("option", { value })));
      }
      const total = counts[facet].reduce((sum, n) => sum + n, 0);
      const countOf = (value) => counts[facet][family.values[facet].indexOf(value)] ?? 0;
      for (const option of select.options) {
        const name = option.value === "" ? "all" : facet === "cluster" ? clusterName(family, option.value) : option.value;
        const n = option.value === "" ? total : countOf(option.value);
        option.textContent = `${visible(name)} (${n.toLocaleString("en")})`;
      }
      select.value = state[facet];
      select.classList.toggle("is-set", state[facet] !== "");
    }
    if (document.activeElement !== search) search.value = state.q;
    at("reset").hidden = !FILTERS.some((filter) => state[filter]);
  }

  // The list contains rows current.from to current.to; more are loaded on scrolling.
  const sentinel = el("li", { className: "sentinel" });
  const earlier = el("li", { className: "earlier" }, el("button", { type: "button", onclick: () => extend(-1) }, "Show earlier"));
  const watcher = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && extend(1), { root: results });
  watcher.observe(sentinel);
  let growing = Promise.resolve();

  // Add a batch of rows at one end of the list; batches are loaded sequentially.
  function extend(direction) {
    const list = current;
    growing = growing.then(() => (list === current ? grow(list, direction) : null))
      .catch((error) => { if (list === current) failed(error); });
    return growing;
  }

  async function grow(list, direction) {
    const { chosen, family, state } = list;
    const [from, to] = direction > 0 ? [list.to, Math.min(list.to + BATCH, chosen.length)] : [Math.max(0, list.from - BATCH), list.from];
    await readTexts(family, chosen.slice(from, to));
    if (list !== current) return;
    // A new list replaces the old one in one step; the focus stays on its row.
    const focused = list.isNew && results.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    if (list.isNew) {
      results.replaceChildren();
      results.scrollTop = 0;
      list.isNew = false;
    }
    const rows = chosen.slice(from, to).map((i) => resultRow(family, state, rowAt(family, i)));
    sentinel.remove();
    earlier.remove();
    if (direction > 0) results.append(...rows);
    else results.prepend(...rows);
    list[direction > 0 ? "to" : "from"] = direction > 0 ? to : from;
    if (list.from > 0) results.prepend(earlier);
    if (list.to < chosen.length) results.append(sentinel);
    if (focused !== null) {
      const links = [...results.querySelectorAll("a.row")];
      (links.find((each) => each.dataset.id === focused) ?? links[0] ?? search).focus();
    }
  }

  function resultRow(family, state, row) {
    const facts = [state.domain ? "" : row.domain, state.stage ? "" : row.stage === NO_ERROR ? "no first error" : row.stage,
      state.cluster ? row.id : clusterName(family, row.cluster)].filter(Boolean);
    const element = link({ ...state, family: family.name, advantage: row.id, pair: "" }, { className: "row", tabIndex: -1 },
      el("span", { className: "text", dir: "auto" }, withHits(row.text, state.q)),
      el("span", { className: "facts" }, visible(facts.join(" · "))));
    element.dataset.id = row.id;
    return el("li", {}, element);
  }

  function withHits(text, query) {
    const shownText = visible(text), folded = shownText.toLowerCase();
    if (!query.trim() || folded.length !== shownText.length) return [shownText];
    const hits = fold(query).split(/\s+/).filter(Boolean).flatMap((word) => {
      const place = folded.indexOf(word);
      return place < 0 ? [] : [[place, place + word.length, "hit"]];
    });
    return marked(shownText, hits);
  }

  async function fillList(family, state, chosen) {
    const filters = JSON.stringify([family.name, ...FILTERS.map((filter) => state[filter])]);
    const i = state.advantage ? findAdvantage(family, state.advantage) : -1;
    const place = i < 0 ? -1 : chosen.indexOf(i);
    const isNew = filters !== current.filters, isFar = place >= 0 && (place < current.from || place > current.to + FAR);
    if (isNew || isFar) {
      const from = isFar || place > FAR ? Math.max(0, place - BATCH / 2) : 0;
      current = { state, family, chosen, filters, place, from, to: from, isNew: true };
      const all = family.n;
      at("tally").textContent = chosen.length === all
        ? counted(all, "advantage") : `${chosen.length.toLocaleString("en")} of ${counted(all, "advantage")}`;
      await extend(1);
    } else {
      Object.assign(current, { state, family, chosen, place });
    }
    while (current.filters === filters && current.place >= current.to && current.to < current.chosen.length) {
      const before = current.to;
      await extend(1);
      if (current.to === before) break;  // texts could not be read
    }
    if (current.state === state) markCurrent();
  }

  function markCurrent() {
    const { state } = current;
    let chosenRow = null;
    for (const row of results.querySelectorAll("a.row")) {
      const isCurrent = row.dataset.id === state.advantage;
      row.tabIndex = isCurrent ? 0 : -1;
      if (isCurrent) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
      if (isCurrent) chosenRow = row;
    }
    if (chosenRow) chosenRow.scrollIntoView({ block: "nearest" });
    else results.querySelector("a.row")?.setAttribute("tabindex", "0");
  }

  // ---- Main view: the taxonomy, a cluster, a pair ----------------------------------------------------------------

  // Bars with counts and shares; each bar links to the filtered list.
  function bars(family, state, facet, places) {
    const counts = tally(family, places, facet), n = Math.max(1, places.length);
    const countOf = (value) => counts[family.values[facet].indexOf(value)];
    return el("ul", { className: "bars" }, valuesOf(family, facet).filter(countOf).map((value) => {
      const bar = el("span", { className: "bar" });
      bar.style.width = `${(100 * countOf(value)) / n}%`;
      const facts = `${countOf(value).toLocaleString("en")} (${Math.round((100 * countOf(value)) / n)} %)`;
      return el("li", {}, link({ ...state, [facet]: value }, {},
        el("span", { className: "name" }, visible(value === NO_ERROR ? "no first error" : value)),
        el("span", { className: "track", ariaHidden: "true" }, bar), el("span", { className: "n" }, facts)));
    }));
  }

  const kindOf = (cluster) =>
    cluster.kind === "specialised" ? `specialised in ${cluster.main_domain}` : cluster.kind || "no gap shown";

  function showTaxonomy(family, state) {
    const n = (value) => family.totals.cluster[family.values.cluster.indexOf(value)] ?? 0;
    const nFailed = family.index.pairs.n_advantages.reduce((sum, each) => sum + !each, 0);
    const cards = family.clusters.map((cluster) => {
      const value = String(cluster.cluster_id);
      return el("li", { className: "card" },
        el("h3", {}, link({ ...overview(state), family: family.name, cluster: value }, {},
          el("span", { className: "no" }, `#${value} `), foreign(family.names.get(value)))),
        el("p", { className: "facts" }, `${counted(n(value), "advantage")}, ${kindOf(cluster)}`),
        foreign(cluster.definition ?? "No usable definition was given.", "p"));
    });
    const others = [[REPEATED, "excluded as duplicates"], [UNCLUSTERED, "in no cluster"]].filter(([key]) => n(key));
    shown.replaceChildren(
      el("h2", {}, foreign(family.larger), " over ", foreign(family.smaller)),
      el("p", { className: "lead" }, "Each cluster groups advantages, and each advantage comes from a pair of traces: a right one "
        + `of ${the(family, "larger")} and a wrong one of ${the(family, "smaller", "")}. Choose a cluster or search, then open an advantage to check its evidence.`),
      family.clusters.length ? el("ol", { className: "cards" }, cards)
        : el("p", { className: "problem" }, `There is no taxonomy${family.reason ? `: ${visible(family.reason)}` : " yet"}.`),
      el("ul", { className: "rest" },
        others.map(([key, words]) => el("li", {}, link({ ...overview(state), family: family.name, cluster: key }, {},
          counted(n(key), "advantage")), ` ${words}`)),
        nFailed ? el("li", {}, `${counted(nFailed, "pair")} of ${family.nPairs.toLocaleString("en")} without a usable `
          + "extraction and hence without advantages") : null));
  }

  function showCluster(family, state, chosen) {
    const cluster = family.clusters.find((each) => String(each.cluster_id) === state.cluster);
    const title = state.cluster ? clusterName(family, state.cluster) : "Advantages found";
    shown.replaceChildren(
      el("p", { className: "path" }, link({ ...overview(state), family: family.name }, {}, "All clusters")),
      foreign(title, "h2"),
      cluster ? el("p", { className: "facts" }, `${counted(cluster.size, "advantage")}, ${kindOf(cluster)}`) : null,
      cluster ? foreign(cluster.definition ?? "No usable definition was given.", "p", "definition") : null,
      chosen.length ? el("div", { className: "shares" },
        ["domain", "benchmark", "stage"].map((facet) => el("section", {},
          el("h3", {}, facet === "stage" ? "First errors" : `By ${facet}`), bars(family, state, facet, chosen))))
        : el("p", { className: "problem" }, "No advantages match these filters."),
      chosen.length ? el("p", { className: "lead" }, "Shares of the advantages in the list. Open an advantage to see its pair of traces.")
        : null);
  }

  // Split a text, or a part of it, into pieces marked with the kinds that cover them; each piece stores its start, since
  // the displayed text may be longer than the original.
  function marked(text, marks, [first, last] = [0, text.length]) {
    const ends = marks.flatMap(([start, end]) => [start, end]).filter((place) => place > first && place < last);
    const cuts = [...new Set([first, last, ...ends])].sort((a, b) => a - b);
    return cuts.slice(1).map((end, i) => {
      const kinds = new Set(marks.filter(([from, to]) => from <= cuts[i] && end <= to).map(([, , kind]) => kind));
      const piece = el(kinds.size ? "mark" : "span", { className: [...kinds].join(" ") }, visible(text.slice(cuts[i], end)));
      piece.dataset.start = cuts[i];
      return piece;
    });
  }

  const spans = (passages, role, kind) => passages.flatMap((one) => (one[role] ?? []).map(([a, b]) => [a, b, kind]));
  const WHERE = ["larger", "smaller", "question"];
  const place = (family, role) => (role === "question" ? role : family.is_labelled ? `trace of ${visible(family[role])}` : `${role} trace`);

  // Passages quoted in a text, with buttons that scroll to their positions.
  function passageList(family, passages, kind) {
    if (!passages.length) return el("p", { className: "not-found" }, "No quotes.");
    return el("ul", { className: "passages" }, passages.map((passage) => {
      const places = WHERE.filter((role) => passage[role]?.length);
      const spacing = places.length && !passage.is_exact ? " (spacing differs)" : "";
      return el("li", {}, foreign(passage.text, "q"), " ", places.length
        ? [...places.map((role) => el("button", { type: "button", className: `go ${kind}`,
          onclick: () => reveal(role, passage[role][0][0]) }, place(family, role))), spacing]
        : el("span", { className: "not-found" }, passage.larger ? "not found in either trace" : "not found in the trace"));
    }));
  }

  // Scroll to the piece of a text that starts at an offset, in either view.
  function reveal(role, offset) {
    const boxes = role === "question" ? "#text-question" : `#text-${role}, .step.${role}`;
    for (const old of shown.querySelectorAll(".is-target")) old.classList.remove("is-target");
    for (const box of shown.querySelectorAll(boxes)) {
      const piece = box.querySelector(`[data-start="${offset}"]`);
      if (!piece) continue;
      piece.classList.add("is-target");
      if (box.classList.contains("step")) piece.scrollIntoView({ block: "center" });
      else box.scrollTop = piece.offsetTop - box.clientHeight / 3;
    }
  }

  // Both traces by step: similar steps side by side, differing words marked.
  function alignedSteps(family, record, marks) {
    if (record.larger.response === null || record.smaller.response === null) {
      return el("p", { className: "not-found" }, "A trace is no longer in the tables, so the pair cannot be aligned.");
    }
    const texts = { larger: record.larger.response, smaller: record.smaller.response };
    const { rows, n } = alignment.align(texts.larger, texts.smaller);
    const nSame = rows.filter((row) => row.kind === "same").length, nNear = rows.filter((row) => row.kind === "near").length;
    const cell = (row, role) => el("td", { className: `step ${role}`, dir: "auto" }, row[role]
      ? marked(texts[role], [...marks[role], ...row.differs[role].map(([a, b]) => [a, b, "differs"])], row[role]) : []);
    const first = rows.findIndex((row) => row.kind !== "same");
    const body = rows.map((row, i) => el("tr", { className: row.kind, ...(i === first ? { id: "first-difference" } : {}) }, cell(row, "larger"), cell(row, "smaller")));
    return el("section", { className: "aligned" },
      el("p", { className: "facts" }, `${counted(n.larger, "step")} of ${the(family, "larger", "trace")}, ${n.smaller.toLocaleString("en")} of ${the(family, "smaller", "")}: `
        + `${nSame} equal, ${nNear} sharing at least half of their words (differing words underlined). `,
        first < 0 ? "No step differs." : el("button", { type: "button", onclick: () => at("first-difference").scrollIntoView({ block: "center" }) }, "First difference")),
      el("table", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, heading(family, "larger", record.larger)),
        el("th", { scope: "col" }, heading(family, "smaller", record.smaller)))), el("tbody", {}, body)));
  }

  // Heading of a trace: the label, else role and model name.
  const heading = (family, role, trial) => (family.is_labelled ? foreign(family[role])
    : [role === "larger" ? "Larger: " : "Smaller: ", foreign(trial.model ?? "unknown")]);

  function trace(family, role, trial, marks) {
    const facts = [`trial ${trial.trial}`, trial.verdict && `graded ${trial.verdict.replaceAll("_", " ")}`,
      trial.completion_tokens !== null && counted(trial.completion_tokens, "token"),
      trial.finish_reason && `ended by ${trial.finish_reason}`].filter(Boolean);
    const body = trial.response === null
      ? el("p", { className: "not-found" }, "This trace is no longer in the tables.")
      : el("pre", { id: `text-${role}`, tabIndex: 0, dir: "auto", role: "region", ariaLabel: `Trace of ${the(family, role)}` },
        marked(trial.response, marks));
    return el("section", { className: `trace ${role}` },
      el("h3", {}, heading(family, role, trial)),
      el("p", { className: "facts" }, visible(facts.join(" · ")), el("br"), "answer found: ",
        trial.prediction === null ? "none" : foreign(trial.prediction, "code")),
      body);
  }

  async function showPair(family, state, visit) {
    const target = state.advantage ? findAdvantage(family, state.advantage) : -1;
    const number = target >= 0 ? family.pairOf[target] : findPair(family, state.pair);
    if (number < 0) {
      shown.replaceChildren(el("p", { className: "problem" }, "No ",
        state.advantage ? "advantage " : "pair ", foreign(state.advantage || state.pair, "code"), " in family ", foreign(family.name), "."),
        el("p", {}, link({ ...overview(state), family: family.name }, {}, "All clusters")));
      return;
    }
    const places = family.all.slice(family.firstOf[number], family.firstOf[number + 1]);
    const { parts } = family.index, part = parts.findLastIndex((first) => first <= number);
    const [records] = await Promise.all([load(`${family.number}-${part}`), readTexts(family, places)]);
    if (visit !== visits) return;
    const record = records[number - parts[part]], rows = Array.from(places, (i) => rowAt(family, i));
    const row = rows.find((each) => each.i === target) ?? rows[0], details = row && record.advantages.find((each) => each.id === row.id);
    const passages = details ? details.passages : [], ofError = record.error ? record.error.passages : [];
    shown.replaceChildren(
      path(family, state, row),
      row ? foreign(row.text, "h2", "advantage") : el("h2", {}, "A pair without advantages"),
      row ? pairFacts(family, state, row, rows, details) : failure(record.failure),
      question(record, family, number, [...spans(passages, "question", "evidence"), ...spans(ofError, "question", "error")]),
      el("div", { className: "pair" },
        row ? el("section", { className: "note" }, el("h3", {}, "Evidence"),
          foreign(row.evidence, "p"), passageList(family, passages, "evidence"),
          el("p", { className: "key" }, `Model_A is ${the(family, "larger")}, Model_B ${the(family, "smaller", "one")}.`)) : el("span"),
        el("section", { className: "note" }, el("h3", {}, `First error of ${the(family, "smaller", "")}`), firstError(family, record.error)),
        el("p", { className: "views" }, viewLink(family, state, "", "Whole traces"), viewLink(family, state, "steps", "Step by step")),
        ...traces(family, state, record, {
          larger: spans(passages, "larger", "evidence"),
          smaller: [...spans(passages, "smaller", "evidence"), ...spans(ofError, "smaller", "error")] })));
    document.title = `${row ? visible(row.text) : "A pair"}: evidence explorer`;
    if (state.view && current.view !== state.view) at("view-steps")?.focus({ preventScroll: true });
    current.view = state.view;
    shown.scrollTop = 0;
    if (state.view) return;
    for (const role of ["larger", "smaller"]) {
      const first = [...spans(passages, role, ""), ...(role === "smaller" ? spans(ofError, role, "") : [])];
      if (first.length) reveal(role, Math.min(...first.map(([start]) => start)));
    }
    for (const target of shown.querySelectorAll(".is-target")) target.classList.remove("is-target");
  }

  function traces(family, state, record, marks) {
    if (state.view) return [alignedSteps(family, record, marks)];
    return [trace(family, "larger", record.larger, marks.larger), trace(family, "smaller", record.smaller, marks.smaller)];
  }

  const viewLink = (family, state, view, words) => link({ ...state, family: family.name, view },
    { id: `view-${view || "whole"}`, ...(state.view === view ? { ariaCurrent: "true" } : {}) }, words);

  function path(family, state, row) {
    const place = row ? current.chosen.indexOf(row.i) : -1;
    const step = (to, words, rel) => {
      const next = current.chosen[place + to];
      return place < 0 || next === undefined ? el("span", { className: "off" }, words)
        : link({ ...state, family: family.name, advantage: advantageId(family, next), pair: "" }, { rel }, words);
    };
    return el("p", { className: "path" }, link(without({ ...state, family: family.name }, "advantage", "pair"), { id: "back" }, "Back to the list"),
      el("span", { className: "steps" }, step(-1, "Previous", "prev"),
        place < 0 ? " " : ` ${(place + 1).toLocaleString("en")} of ${current.chosen.length.toLocaleString("en")} `,
        step(1, "Next", "next")));
  }

  function pairFacts(family, state, row, rows, details) {
    const open = (id) => ({ ...state, family: family.name, advantage: id, pair: "" });
    return el("div", { className: "about" },
      el("p", { className: "facts" },
        row.cluster === REPEATED ? ["duplicate of ", link(open(row.repeats), {}, foreign(row.repeats, "code")), ", so excluded from the clusters"]
          : ["in ", link({ ...overview(state), family: family.name, cluster: row.cluster }, {}, foreign(clusterName(family, row.cluster)))],
        " · ", foreign(row.id, "code"), ` · extracted by `, foreign(details.extractor),
        details.rule_violations.length ? ` · breaks style rules: ${visible(details.rule_violations.join(", "))}` : ""),
      rows.length > 1 ? el("ul", { className: "siblings", ariaLabel: "Advantages of this pair" },
        rows.map((each) => el("li", {}, each === row ? foreign(each.text, "b") : link(open(each.id), {}, foreign(each.text))))) : null);
  }

  function failure(given) {
    return el("div", { className: "problem" },
      el("p", {}, given ? `No usable extraction: ${visible(given.reason.replaceAll("_", " "))}.` : "Nothing was extracted from this pair."),
      given && given.reply ? el("details", {}, el("summary", {}, "Raw reply"), foreign(given.reply, "pre")) : null);
  }

  function question(record, family, number, marks) {
    const { questions, pairs, domains, benchmarks } = family.index, q = pairs.question[number];
    return el("section", { className: "question" },
      el("h3", {}, "Question ", foreign(questions.id[q], "code"), el("span", { className: "facts" },
        ` ${domains[questions.domain[q]]}, `, foreign(benchmarks[questions.benchmark[q]] ?? "benchmark unknown"))),
      record.question === null ? el("p", { className: "not-found" }, "The question is no longer in the tables.")
        : el("p", { id: "text-question", className: "text", dir: "auto" }, marked(record.question, marks)),
      el("p", { className: "gold" }, el("b", {}, "Gold answer: "), record.answer === null ? "unknown" : foreign(record.answer, "code")));
  }

  function firstError(family, error) {
    if (!error) return el("p", { className: "not-found" }, "No first error was extracted.");
    return [el("p", {}, el("b", {}, error.stage), `, depth ${error.depth} of ${STAGES.length}. `, foreign(error.description)),
      passageList(family, error.passages, "error")];
  }

  // ---- Routing and keys ------------------------------------------------------------------------------------------------

  let visits = 0;

  function failed(error) {
    shown.replaceChildren(el("p", { className: "problem" }, `The data file ${error.message} next to this page cannot be read: `
      + "the explorer was rewritten, or moved without its data folder. Reload the page."));
  }

  function fillFamilies(state, chosen) {
    at("families").replaceChildren(...manifest.families.map((each) => link({ ...overview(state), family: each.name },
      each.name === chosen ? { ariaCurrent: "page" } : {}, visible(each.name))));
  }

  async function route() {
    const visit = (visits += 1), state = readState();
    if (!at("families").childElementCount) fillFamilies(state, state.family);
    try {
      const family = await familyOf(state);
      if (visit !== visits) return;
      const choice = await choose(family, state, visit), isOpen = Boolean(state.advantage || state.pair);
      if (!choice) return;
      fillFamilies(state, family.name);
      fillFilters(family, state, choice.counts);
      const wasOpen = document.body.classList.contains("is-open");
      document.body.classList.toggle("is-open", isOpen);
      document.title = `Evidence explorer: ${visible(family.name)}`;
      const listed = fillList(family, state, choice.chosen);
      if (isOpen) await showPair(family, state, visit);
      else if (FILTERS.some((filter) => state[filter])) showCluster(family, state, choice.chosen);
      else showTaxonomy(family, state);
      await listed;
      if (visit === visits) moveFocus(state, isOpen, wasOpen);
    } catch (error) {
      if (visit === visits) failed(error);
    }
  }

  // Opening a pair from the list moves the focus to it; going back restores the focus in the list.
  let lastAdvantage = "";

  function moveFocus(state, isOpen, wasOpen) {
    const inList = results.contains(document.activeElement);
    if (isOpen && (inList || !document.activeElement || document.activeElement === document.body)) shown.focus({ preventScroll: true });
    if (!isOpen && wasOpen && (document.activeElement === document.body || shown.contains(document.activeElement))) {
      const row = [...results.querySelectorAll("a.row")].find((each) => each.dataset.id === lastAdvantage) ?? results.querySelector("a.row");
      if (row) { row.tabIndex = 0; row.focus(); }
    }
    lastAdvantage = state.advantage || lastAdvantage;
  }

  const filter = (changes) => location.replace(address({ ...without(readState(), "advantage", "pair", "view"), ...changes }));
  for (const facet of FACETS) at(facet).addEventListener("change", (event) => filter({ [facet]: event.target.value }));
  search.addEventListener("input", () => filter({ q: search.value.trim() }));
  at("reset").addEventListener("click", () => { search.value = ""; filter(overview(readState())); search.focus(); });
  window.addEventListener("hashchange", route);

  results.addEventListener("keydown", (event) => {
    const rows = [...results.querySelectorAll("a.row")], place = rows.indexOf(document.activeElement);
    const to = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to === undefined || !rows[to]) return;
    event.preventDefault();
    rows[to].focus();
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === search && event.key === "ArrowDown") results.querySelector("a.row")?.focus();
    if (event.target.closest("input, select")) return;
    const pressed = { "/": search, j: shown.querySelector("a[rel=next]"), k: shown.querySelector("a[rel=prev]"), Escape: at("back"),
      a: at(readState().view ? "view-whole" : "view-steps"), f: shown.querySelector(".go"), "?": at("keys") };
    const target = pressed[event.key];
    if (!target) return;
    event.preventDefault();
    if (target === search) search.focus();
    else if (event.key === "f") { target.focus(); target.click(); }
    else if (target === at("keys")) { target.open = !target.open; target.querySelector("summary").focus(); }
    else target.click();
  });

  route();
})();
