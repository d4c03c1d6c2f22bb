// Runs before the first paint. Shares its key and its three values with the console's own switch.
"use strict";
{
  const root = document.documentElement;
  const modes = ["auto", "light", "dark"];
  const names = { auto: "as the system", light: "light", dark: "dark" };

  const kept = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage may be forbidden; the switch then lasts for the page
    }
  };

  const show = (mode) => {
    root.dataset.theme = mode;
    for (const label of document.querySelectorAll(".theme-name")) label.textContent = names[mode];
  };

  const next = () => {
    const mode = modes[(modes.indexOf(root.dataset.theme) + 1) % modes.length];
    try {
      localStorage.setItem("theme", mode);
    } catch {
      // see above
    }
    show(mode);
  };

  root.classList.remove("no-script");
  show(modes.includes(kept()) ? kept() : "auto");
  document.addEventListener("DOMContentLoaded", () => {
    show(root.dataset.theme);
    for (const button of document.querySelectorAll(".theme-switch")) button.addEventListener("click", next);
  });
}
