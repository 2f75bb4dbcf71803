// SPDX-License-Identifier: GPL-2.0-or-later
// The slider under which the RMPOPT table changes over time.
"use strict";
(() => {
  const slider = document.getElementById("slider");
  if (!slider) return;
  const states = JSON.parse(document.getElementById("states").textContent);
  const cells = document.querySelectorAll("#table rect");
  const show = () => {
    const state = states[slider.value];
    document.getElementById("when").textContent = `${state.t.toFixed(3)} s`;
    state.share.flat().forEach((share, n) => cells[n].setAttribute("class", `cell t${share}`));
  };
  slider.addEventListener("input", show);
  show();
})();
