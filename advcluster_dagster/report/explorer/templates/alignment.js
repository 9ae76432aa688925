"use strict";
// Align two traces step by step. A step is a line, or a sentence of a long line; steps are aligned in order so as to
// maximise shared words. Offsets refer to the original texts.
const alignment = (() => {
  const LONG_LINE = 240, MOST_STEPS = 400, MOST_WORDS = 300, LEAST_SHARED = 0.5;
  const WORD = /[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu;

  // Steps of a text as [start, end]; neighbours are joined if there are more than MOST_STEPS.
  function stepsOf(text) {
    const steps = [];
    for (const line of text.matchAll(/[^\n]+/g)) {
      if (!line[0].trim()) continue;
      let start = line.index;
      const end = start + line[0].length;
      if (line[0].length > LONG_LINE) {
        for (const stop of line[0].matchAll(/[.!?]\s+(?=[\p{Lu}\\$])/gu)) {
          steps.push([start, line.index + stop.index + stop[0].length]);
          start = line.index + stop.index + stop[0].length;
        }
      }
      if (start < end) steps.push([start, end]);
    }
    const joined = Math.ceil(steps.length / MOST_STEPS);
    if (joined < 2) return steps;
    return steps.filter((_, i) => i % joined === 0)
      .map(([start], i) => [start, steps[Math.min((i + 1) * joined, steps.length) - 1][1]]);
  }

  // Words of a step as [text, start, end], in lower case.
  const wordsOf = (text, [start, end]) =>
    [...text.slice(start, end).matchAll(WORD)].map((word) => [word[0].toLowerCase(), start + word.index, start + word.index + word[0].length]);

  // Dice coefficient of the words of two steps, 0 to 1.
  function shared(first, second) {
    if (!first.size || !second.size) return 0;
    let common = 0;
    for (const [word, n] of first.counts) common += Math.min(n, second.counts.get(word) ?? 0);
    return (2 * common) / (first.size + second.size);
  }

  function counted(words) {
    const counts = new Map();
    for (const [word] of words) counts.set(word, (counts.get(word) ?? 0) + 1);
    return { counts, size: words.length };
  }

  // Pairs of positions, in order, that maximise the sum of worth(i, j) > 0.
  function bestPairs(n, m, worth) {
    const width = m + 1, best = new Float64Array((n + 1) * width);
    for (let i = n - 1; i >= 0; i -= 1) {
      for (let j = m - 1; j >= 0; j -= 1) {
        const value = worth(i, j);
        best[i * width + j] = Math.max(best[(i + 1) * width + j], best[i * width + j + 1],
          value > 0 ? value + best[(i + 1) * width + j + 1] : 0);
      }
    }
    const pairs = [];
    for (let i = 0, j = 0; i < n && j < m;) {
      const value = worth(i, j), here = best[i * width + j];
      if (value > 0 && here === value + best[(i + 1) * width + j + 1]) pairs.push([i++, j++]);
      else if (here === best[(i + 1) * width + j]) i += 1;
      else j += 1;
    }
    return pairs;
  }

  // Rows of the alignment: {larger, smaller, kind, differs}. ``kind`` is same (word for word), near, or alone (a step
  // without counterpart); ``differs`` lists by role the [start, end] of words missing in the other step.
  function align(larger, smaller) {
    const steps = { larger: stepsOf(larger), smaller: stepsOf(smaller) };
    const words = { larger: steps.larger.map((step) => wordsOf(larger, step)), smaller: steps.smaller.map((step) => wordsOf(smaller, step)) };
    const bags = { larger: words.larger.map(counted), smaller: words.smaller.map(counted) };
    const worth = bags.larger.map((larger) => Float64Array.from(bags.smaller, (smaller) => shared(larger, smaller)));
    const pairs = bestPairs(steps.larger.length, steps.smaller.length, (i, j) => (worth[i][j] >= LEAST_SHARED ? worth[i][j] : 0));
    const rows = [];
    let i = 0, j = 0;
    for (const [to, other] of [...pairs, [steps.larger.length, steps.smaller.length]]) {
      while (i < to) rows.push({ larger: steps.larger[i++], smaller: null, kind: "alone", differs: { larger: [], smaller: [] } });
      while (j < other) rows.push({ larger: null, smaller: steps.smaller[j++], kind: "alone", differs: { larger: [], smaller: [] } });
      if (i < steps.larger.length && j < steps.smaller.length) rows.push(row(words.larger[i], words.smaller[j], steps.larger[i++], steps.smaller[j++]));
    }
    return { rows, n: { larger: steps.larger.length, smaller: steps.smaller.length } };
  }

  function row(ofLarger, ofSmaller, larger, smaller) {
    const isSame = ofLarger.length === ofSmaller.length && ofLarger.every(([word], i) => word === ofSmaller[i][0]);
    if (isSame || Math.max(ofLarger.length, ofSmaller.length) > MOST_WORDS) {
      return { larger, smaller, kind: isSame ? "same" : "near", differs: { larger: [], smaller: [] } };
    }
    const kept = bestPairs(ofLarger.length, ofSmaller.length, (i, j) => (ofLarger[i][0] === ofSmaller[j][0] ? 1 : 0));
    const others = (words, side) => {
      const shown = new Set(kept.map((pair) => pair[side]));
      return words.filter((_, i) => !shown.has(i)).map(([, start, end]) => [start, end]);
    };
    return { larger, smaller, kind: "near", differs: { larger: others(ofLarger, 0), smaller: others(ofSmaller, 1) } };
  }

  return Object.freeze({ align });
})();
