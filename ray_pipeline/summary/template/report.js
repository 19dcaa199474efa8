"use strict";

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const charts = read("charts");
const themes = read("themes");
const dark = window.matchMedia("(prefers-color-scheme: dark)");

async function draw() {
  const theme = dark.matches ? "dark" : "light";
  for (const [name, chart] of Object.entries(charts)) {
    await window.vegaEmbed(document.getElementById(`chart-${name}`), chart, {
      actions: false,
      ast: true, // expressions are interpreted: the page allows no code to be made of text
      config: themes[theme],
      renderer: "svg",
      tooltip: { theme },
    });
  }
  document.documentElement.dataset.drawn = theme;
}

let drawing = draw();
dark.addEventListener("change", () => {
  drawing = drawing.then(draw);
});
