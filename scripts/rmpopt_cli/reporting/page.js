// SPDX-License-Identifier: GPL-2.0-or-later
// The slider under which the RMPOPT table changes over time.
"use strict";
(() => {
  const slider = document.getElementById("slider");
  if (!slider) return;
  const states = JSON.parse(document.getElementById("states").textContent);
  const cells = document.querySelectorAll("#table rect");
  const when = document.getElementById("when"), pairs = document.querySelector('[data-key="table.pairs"]');
  const show = () => {
    const state = states[slider.value];
    when.textContent = `at ${state.t.toFixed(3)} s`;
    pairs.textContent = state.pairs.toLocaleString("en");
    pairs.dataset.value = state.pairs;
    [...state.share].forEach((tenths, n) => cells[n].setAttribute("class", `cell t${parseInt(tenths, 11)}`));
  };
  slider.addEventListener("input", show);
  show();
})();
