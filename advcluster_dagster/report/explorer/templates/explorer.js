"use strict";
// Data come as script files that call advcluster.receive. Texts in them were written by models: they reach the page as
// text nodes alone, never as markup, and no address or file name is made of them but the fragment, percent-encoded.
(() => {
  const manifest = JSON.parse(document.getElementById("manifest").textContent);
  const STAGES = ["Reading", "Comprehension", "Transformation", "Process Skills", "Encoding"];
  const FACETS = ["cluster", "domain", "benchmark", "stage"];
  const FILTERS = [...FACETS, "q"];
  const REPEATED = "repeated", UNCLUSTERED = "unclustered", NO_ERROR = "none";
  const BATCH = 100;
  const at = (id) => document.getElementById(id);
  const shown = at("shown"), results = at("results"), search = at("search");

  // ---- Elements and text -------------------------------------------------------------------------------------------

  // Controls, zero-width characters and changes of direction are shown by number, so that nothing hides.
  const HIDDEN = /[\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu;
  function visible(text) {
    return text.replace(HIDDEN, (c) => {
      if (c === "\n" || c === "\t") return c;
      return c === "\r" ? "" : `[U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`;
    });
  }

  function el(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return made;
  }

  const foreign = (text, tag = "bdi", className = "") => el(tag, { className, dir: "auto" }, visible(text ?? ""));
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

  async function openFamily(number) {
    if (families.has(number)) return families.get(number);
    const { clusters, no_taxonomy_reason, pairs, advantages } = await load(`${number}-index`);
    const rows = advantages.id.map((id, i) => {
      const pair = advantages.pair[i], cluster = advantages.cluster[i];
      return {
        id, pair, text: advantages.text[i], evidence: advantages.evidence[i], repeats: advantages.repeats[i],
        cluster: cluster !== null ? String(cluster) : advantages.repeats[i] !== null ? REPEATED : UNCLUSTERED,
        domain: pairs.domain[pair], benchmark: pairs.benchmark[pair] ?? "", stage: pairs.stage[pair] ?? NO_ERROR,
        haystack: fold(`${advantages.text[i]}\n${advantages.evidence[i]}\n${id}`),
      };
    });
    const family = {
      number, ...manifest.families[number], clusters, reason: no_taxonomy_reason, pairs, rows,
      byId: new Map(rows.map((row) => [row.id, row])),
      pairById: new Map(pairs.id.map((id, i) => [id, i])),
      names: new Map(clusters.map((c) => [String(c.cluster_id), c.tag ?? "(no usable name)"])),
    };
    families.set(number, family);
    return family;
  }

  const rowsOfPair = (family, pair) => family.rows.filter((row) => row.pair === pair);

  // Rows that pass every filter, and for each value of a filter how many rows pass all the others.
  function choose(rows, state) {
    const words = fold(state.q).split(/\s+/).filter(Boolean);
    const chosen = [], counts = Object.fromEntries(FACETS.map((facet) => [facet, new Map()]));
    for (const row of rows) {
      if (!words.every((word) => row.haystack.includes(word))) continue;
      const missed = FACETS.filter((facet) => state[facet] && state[facet] !== row[facet]);
      if (!missed.length) chosen.push(row);
      for (const facet of missed.length ? missed : FACETS) {
        if (missed.length < 2) counts[facet].set(row[facet], (counts[facet].get(row[facet]) ?? 0) + 1);
      }
    }
    return { chosen, counts };
  }

  // ---- State: the address's fragment ------------------------------------------------------------------------------------

  const KEYS = ["family", ...FILTERS, "advantage", "pair"];

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
  const overview = (state) => without(state, ...FILTERS, "advantage", "pair");
  const link = (state, properties, ...children) => el("a", { href: address(state), ...properties }, ...children);

  // A link to an advantage or a pair may leave out the family: the first that has it is meant.
  async function familyOf(state) {
    const named = manifest.families.findIndex((family) => family.name === state.family);
    if (named >= 0) return openFamily(named);
    for (let number = 0; number < manifest.families.length && (state.advantage || state.pair); number += 1) {
      const family = await openFamily(number);
      if (family.byId.has(state.advantage) || family.pairById.has(state.pair)) return family;
    }
    return openFamily(0);
  }

  // ---- The finder: filters and list ------------------------------------------------------------------------------------

  let current = { state: null, family: null, chosen: [], filters: "" };

  function clusterName(family, value) {
    if (value === REPEATED) return "left out as repeats";
    if (value === UNCLUSTERED) return "in no cluster";
    return family.names.has(value) ? `#${value} ${family.names.get(value)}` : `#${value}`;
  }

  function valuesOf(family, facet) {
    const present = [...new Set(family.rows.map((row) => row[facet]))];
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
      let total = 0;
      for (const n of counts[facet].values()) total += n;
      for (const option of select.options) {
        const name = option.value === "" ? "all" : facet === "cluster" ? clusterName(family, option.value) : option.value;
        const n = option.value === "" ? total : counts[facet].get(option.value) ?? 0;
        option.textContent = `${visible(name)} (${n.toLocaleString("en")})`;
      }
      select.value = state[facet];
      select.classList.toggle("is-set", state[facet] !== "");
    }
    if (document.activeElement !== search) search.value = state.q;
    at("reset").hidden = !FILTERS.some((filter) => state[filter]);
  }

  const sentinel = el("li", { className: "sentinel" });
  const watcher = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && extend(), { root: results });
  watcher.observe(sentinel);

  function extend(least = 0) {
    const { chosen, family, state } = current;
    const from = results.childElementCount - (sentinel.parentNode ? 1 : 0);
    const to = Math.min(chosen.length, Math.max(from + BATCH, least));
    sentinel.remove();
    results.append(...chosen.slice(from, to).map((row) => resultRow(family, state, row)));
    if (to < chosen.length) results.append(sentinel);
  }

  function resultRow(family, state, row) {
    const facts = [state.domain ? "" : row.domain, state.stage ? "" : row.stage === NO_ERROR ? "no first error" : row.stage,
      state.cluster ? row.id : clusterName(family, row.cluster)].filter(Boolean);
    const one = link({ ...state, family: family.name, advantage: row.id, pair: "" }, { className: "row", tabIndex: -1 },
      el("span", { className: "text", dir: "auto" }, withHits(row.text, state.q)),
      el("span", { className: "facts" }, visible(facts.join(" · "))));
    one.dataset.id = row.id;
    return el("li", {}, one);
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

  function fillList(family, state, chosen) {
    const filters = JSON.stringify([family.name, ...FILTERS.map((filter) => state[filter])]);
    const isNew = filters !== current.filters;
    current = { state, family, chosen, filters };
    if (isNew) {
      results.replaceChildren();
      results.scrollTop = 0;
      extend();
      const all = family.rows.length;
      at("tally").textContent = chosen.length === all
        ? counted(all, "advantage") : `${chosen.length.toLocaleString("en")} of ${counted(all, "advantage")}`;
    }
    markCurrent();
  }

  function markCurrent() {
    const { state, chosen } = current;
    const place = chosen.findIndex((row) => row.id === state.advantage);
    if (place >= results.childElementCount - 1) extend(place + BATCH);
    let one = null;
    for (const row of results.querySelectorAll("a.row")) {
      const isCurrent = row.dataset.id === state.advantage;
      row.tabIndex = isCurrent ? 0 : -1;
      if (isCurrent) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
      if (isCurrent) one = row;
    }
    if (one) one.scrollIntoView({ block: "nearest" });
    else results.querySelector("a.row")?.setAttribute("tabindex", "0");
  }

  // ---- What is shown: the taxonomy, a cluster, a pair ----------------------------------------------------------------

  function tally(rows, key) {
    const counts = new Map();
    for (const row of rows) counts.set(row[key], (counts.get(row[key]) ?? 0) + 1);
    return counts;
  }

  // Shares as bars with their numbers; each bar is a link that filters.
  function bars(family, state, facet, rows) {
    const counts = tally(rows, facet), n = Math.max(1, rows.length);
    return el("ul", { className: "bars" }, valuesOf(family, facet).filter((value) => counts.has(value)).map((value) => {
      const bar = el("span", { className: "bar" });
      bar.style.width = `${(100 * counts.get(value)) / n}%`;
      const facts = `${counts.get(value).toLocaleString("en")} (${Math.round((100 * counts.get(value)) / n)} %)`;
      return el("li", {}, link({ ...state, [facet]: value }, {},
        el("span", { className: "name" }, visible(value === NO_ERROR ? "no first error" : value)),
        el("span", { className: "track", ariaHidden: "true" }, bar), el("span", { className: "n" }, facts)));
    }));
  }

  const kindOf = (cluster) =>
    cluster.kind === "specialised" ? `specialised in ${cluster.main_domain}` : cluster.kind || "no gap shown";

  function showTaxonomy(family, state) {
    const n = tally(family.rows, "cluster"), nFailed = family.pairs.id.length - new Set(family.rows.map((r) => r.pair)).size;
    const cards = family.clusters.map((cluster) => {
      const value = String(cluster.cluster_id);
      return el("li", { className: "card" },
        el("h3", {}, link({ ...overview(state), family: family.name, cluster: value }, {},
          el("span", { className: "no" }, `#${value} `), foreign(family.names.get(value)))),
        el("p", { className: "facts" }, `${counted(n.get(value) ?? 0, "advantage")}, ${kindOf(cluster)}`),
        foreign(cluster.definition ?? "No usable definition was given.", "p"));
    });
    const left = [[REPEATED, "left out as repeats of another"], [UNCLUSTERED, "in no cluster"]].filter(([key]) => n.has(key));
    shown.replaceChildren(
      el("h2", {}, foreign(family.larger), " over ", foreign(family.smaller)),
      el("p", { className: "lead" }, "Every cluster rests on advantages, and every advantage on a pair of traces: a right one "
        + "of the larger model beside a wrong one of the smaller. Choose a cluster, or search, and open what you doubt."),
      family.clusters.length ? el("ol", { className: "cards" }, cards)
        : el("p", { className: "problem" }, `There is no taxonomy${family.reason ? `: ${visible(family.reason)}` : " yet"}.`),
      el("ul", { className: "rest" },
        left.map(([key, words]) => el("li", {}, link({ ...overview(state), family: family.name, cluster: key }, {},
          counted(n.get(key), "advantage")), ` ${words}`)),
        nFailed ? el("li", {}, `${counted(nFailed, "pair")} of ${family.pairs.id.length.toLocaleString("en")} without a usable `
          + "extraction, so without advantages") : null));
  }

  function showCluster(family, state, chosen) {
    const cluster = family.clusters.find((one) => String(one.cluster_id) === state.cluster);
    const title = state.cluster ? clusterName(family, state.cluster) : "Advantages found";
    shown.replaceChildren(
      el("p", { className: "path" }, link({ ...overview(state), family: family.name }, {}, "All clusters")),
      foreign(title, "h2"),
      cluster ? el("p", { className: "facts" }, `${counted(cluster.size, "advantage")}, ${kindOf(cluster)}`) : null,
      cluster ? foreign(cluster.definition ?? "No usable definition was given.", "p", "definition") : null,
      chosen.length ? el("div", { className: "shares" },
        ["domain", "benchmark", "stage"].map((facet) => el("section", {},
          el("h3", {}, facet === "stage" ? "First errors" : `By ${facet}`), bars(family, state, facet, chosen))))
        : el("p", { className: "problem" }, "Nothing passes these filters."),
      chosen.length ? el("p", { className: "lead" }, "The figures are of the advantages in the list. Open one to see its pair of traces.")
        : null);
  }

  // A text in pieces, each marked with the kinds that cover it; a piece knows where it starts, since what is shown of it
  // may be longer than it is.
  function marked(text, marks) {
    const cuts = [...new Set([0, text.length, ...marks.flatMap(([start, end]) => [start, end])])].sort((a, b) => a - b);
    return cuts.slice(1).map((end, i) => {
      const kinds = new Set(marks.filter(([from, to]) => from <= cuts[i] && end <= to).map(([, , kind]) => kind));
      const piece = el(kinds.size ? "mark" : "span", { className: [...kinds].join(" ") }, visible(text.slice(cuts[i], end)));
      piece.dataset.start = cuts[i];
      return piece;
    });
  }

  const spans = (passages, role, kind) => passages.flatMap((one) => (one[role] ?? []).map(([a, b]) => [a, b, kind]));
  const WHERE = { larger: "larger trace", smaller: "smaller trace", question: "question" };

  // The passages that a text quotes, each with where it stands; a click leads there.
  function passageList(passages, kind) {
    if (!passages.length) return el("p", { className: "not-found" }, "It quotes nothing.");
    return el("ul", { className: "passages" }, passages.map((one) => {
      const places = Object.keys(WHERE).filter((role) => one[role]?.length);
      const spacing = places.length && !one.is_exact ? " (spacing differs)" : "";
      return el("li", {}, foreign(one.text, "q"), " ", places.length
        ? [...places.map((role) => el("button", { type: "button", className: `go ${kind}`,
          onclick: () => reveal(role, one[role][0][0]) }, WHERE[role])), spacing]
        : el("span", { className: "not-found" }, one.larger ? "not found in either trace" : "not found in the trace"));
    }));
  }

  function reveal(role, offset) {
    const box = at(`text-${role}`), piece = box.querySelector(`[data-start="${offset}"]`);
    box.querySelector(".is-target")?.classList.remove("is-target");
    piece.classList.add("is-target");
    box.scrollTop = piece.offsetTop - box.clientHeight / 3;
  }

  function trace(role, one, marks) {
    const facts = [`trial ${one.trial}`, one.verdict && `graded ${one.verdict.replaceAll("_", " ")}`,
      one.completion_tokens !== null && counted(one.completion_tokens, "token"),
      one.finish_reason && `ended by ${one.finish_reason}`].filter(Boolean);
    const body = one.response === null
      ? el("p", { className: "not-found" }, "This trace is not among the tables any more.")
      : el("pre", { id: `text-${role}`, tabIndex: 0, dir: "auto", role: "region", ariaLabel: `Trace of the ${role} model` },
        marked(one.response, marks));
    return el("section", { className: `trace ${role}` },
      el("h3", {}, role === "larger" ? "Larger: " : "Smaller: ", foreign(one.model ?? "unknown")),
      el("p", { className: "facts" }, visible(facts.join(" · ")), el("br"), "answer found: ",
        one.prediction === null ? "none" : foreign(one.prediction, "code")),
      body);
  }

  async function showPair(family, state, visit) {
    const asked = family.byId.get(state.advantage), number = asked ? asked.pair : family.pairById.get(state.pair);
    if (number === undefined) {
      shown.replaceChildren(el("p", { className: "problem" }, "No ",
        state.advantage ? "advantage " : "pair ", foreign(state.advantage || state.pair, "code"), " in family ", foreign(family.name), "."),
        el("p", {}, link({ ...overview(state), family: family.name }, {}, "All clusters")));
      return;
    }
    const { pairs } = family, rows = rowsOfPair(family, number);
    const record = (await load(`${family.number}-${pairs.part[number]}`))[pairs.place[number]];
    if (visit !== visits) return;
    const row = asked ?? rows[0], details = row && record.advantages.find((one) => one.id === row.id);
    const passages = details ? details.passages : [], ofError = record.error ? record.error.passages : [];
    shown.replaceChildren(
      path(family, state, row),
      row ? foreign(row.text, "h2", "advantage") : el("h2", {}, "A pair without advantages"),
      row ? pairFacts(family, state, row, rows, details) : failure(record.failure),
      question(record, pairs, number, [...spans(passages, "question", "evidence"), ...spans(ofError, "question", "error")]),
      el("div", { className: "pair" },
        row ? el("section", { className: "note" }, el("h3", {}, "Evidence"),
          foreign(row.evidence, "p"), passageList(passages, "evidence"),
          el("p", { className: "key" }, "Model_A is the larger model, Model_B the smaller one.")) : el("span"),
        el("section", { className: "note" }, el("h3", {}, "First error of the smaller"), firstError(record.error)),
        trace("larger", record.larger, spans(passages, "larger", "evidence")),
        trace("smaller", record.smaller,
          [...spans(passages, "smaller", "evidence"), ...spans(ofError, "smaller", "error")])));
    document.title = `${row ? visible(row.text) : "A pair"}: evidence explorer`;
    shown.scrollTop = 0;
    for (const role of ["larger", "smaller"]) {
      const first = [...spans(passages, role, ""), ...(role === "smaller" ? spans(ofError, role, "") : [])];
      if (first.length) reveal(role, Math.min(...first.map(([start]) => start)));
    }
    for (const target of shown.querySelectorAll(".is-target")) target.classList.remove("is-target");
  }

  function path(family, state, row) {
    const place = row ? current.chosen.indexOf(row) : -1;
    const step = (to, words, rel) => {
      const next = current.chosen[place + to];
      return place < 0 || !next ? el("span", { className: "off" }, words)
        : link({ ...state, family: family.name, advantage: next.id, pair: "" }, { rel }, words);
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
        row.cluster === REPEATED ? ["repeats ", link(open(row.repeats), {}, foreign(row.repeats, "code")), ", so left out of the clusters"]
          : ["in ", link({ ...overview(state), family: family.name, cluster: row.cluster }, {}, foreign(clusterName(family, row.cluster)))],
        " · ", foreign(row.id, "code"), ` · extracted by `, foreign(details.extractor),
        details.rule_violations.length ? ` · breaks style rules: ${visible(details.rule_violations.join(", "))}` : ""),
      rows.length > 1 ? el("ul", { className: "siblings", ariaLabel: "Advantages of this pair" },
        rows.map((one) => el("li", {}, one === row ? foreign(one.text, "b") : link(open(one.id), {}, foreign(one.text))))) : null);
  }

  function failure(given) {
    return el("div", { className: "problem" },
      el("p", {}, given ? `No usable extraction: ${visible(given.reason.replaceAll("_", " "))}.` : "Nothing was extracted from this pair."),
      given && given.reply ? el("details", {}, el("summary", {}, "The reply as it came"), foreign(given.reply, "pre")) : null);
  }

  function question(record, pairs, number, marks) {
    return el("section", { className: "question" },
      el("h3", {}, "Question ", foreign(pairs.question[number], "code"), el("span", { className: "facts" },
        ` ${pairs.domain[number]}, `, foreign(pairs.benchmark[number] ?? "benchmark unknown"))),
      record.question === null ? el("p", { className: "not-found" }, "The question is not among the tables any more.")
        : el("p", { id: "text-question", className: "text", dir: "auto" }, marked(record.question, marks)),
      el("p", { className: "gold" }, el("b", {}, "Gold answer: "), record.answer === null ? "unknown" : foreign(record.answer, "code")));
  }

  function firstError(error) {
    if (!error) return el("p", { className: "not-found" }, "None was extracted.");
    return [el("p", {}, el("b", {}, error.stage), `, depth ${error.depth} of ${STAGES.length}. `, foreign(error.description)),
      passageList(error.passages, "error")];
  }

  // ---- Routing and keys ------------------------------------------------------------------------------------------------

  let visits = 0;

  async function route() {
    const visit = (visits += 1), state = readState();
    try {
      const family = await familyOf(state);
      if (visit !== visits) return;
      const { chosen, counts } = choose(family.rows, state), isOpen = Boolean(state.advantage || state.pair);
      at("families").replaceChildren(...manifest.families.map((one) => link({ ...overview(state), family: one.name },
        one.name === family.name ? { ariaCurrent: "page" } : {}, visible(one.name))));
      fillFilters(family, state, counts);
      fillList(family, state, chosen);
      document.body.classList.toggle("is-open", isOpen);
      document.title = `Evidence explorer: ${visible(family.name)}`;
      if (isOpen) await showPair(family, state, visit);
      else if (FILTERS.some((filter) => state[filter])) showCluster(family, state, chosen);
      else showTaxonomy(family, state);
    } catch (error) {
      if (visit !== visits) return;
      shown.replaceChildren(el("p", { className: "problem" }, `The data file ${error.message} beside this page cannot be read: `
        + "the explorer was written anew, or moved without its folder. Load the page again."));
    }
  }

  const filter = (changes) => location.replace(address({ ...without(readState(), "advantage", "pair"), ...changes }));
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
    const pressed = { "/": search, j: shown.querySelector("a[rel=next]"), k: shown.querySelector("a[rel=prev]"), Escape: at("back") };
    const wanted = pressed[event.key];
    if (!wanted) return;
    event.preventDefault();
    if (wanted === search) search.focus();
    else wanted.click();
  });

  route();
})();
