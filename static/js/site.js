// What every page does beyond links and forms: menus that close, keys, copying, walking through lists.
"use strict";
{
  const announce = (text) => {
    document.getElementById("announcer").textContent = text;
  };

  // Menus -----------------------------------------------------------------------------------------------------------

  const openMenus = () => document.querySelectorAll("details.menu[open]");

  document.addEventListener("click", (event) => {
    for (const menu of openMenus()) if (!menu.contains(event.target)) menu.open = false;
    const opener = event.target.closest("[data-opens]");
    if (!opener) return;
    for (const menu of openMenus()) menu.open = false;
    document.getElementById(opener.dataset.opens).showModal();
  });

  // The queue's panel is filled, and polls, only while it is open.
  const queue = document.getElementById("queue-menu");
  queue?.addEventListener("toggle", () => {
    const panel = document.getElementById("queue-panel");
    if (queue.open) htmx.ajax("GET", queue.dataset.load, { target: panel, swap: "innerHTML" });
    else panel.replaceChildren();
  });

  // Copying ---------------------------------------------------------------------------------------------------------

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copies]");
    if (!button) return;
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent);
    const use = button.querySelector("use");
    const before = use.getAttribute("href");
    use.setAttribute("href", before.replace(/#.*/, "#check"));
    announce("Copied");
    setTimeout(() => use.setAttribute("href", before), 1500);
  });

  // Keys ------------------------------------------------------------------------------------------------------------

  const typing = (target) => target.closest("input:not([type=range]), textarea, select, [contenteditable]");
  const places = { p: "a.brand", c: 'a[href="/create"]', m: 'a[href="/mine"]' };
  let going = 0;

  const tiles = () => [...document.querySelectorAll("[data-grid] .tile")];

  const nearest = (from, candidates) => {
    const middle = (tile) => tile.offsetLeft + tile.offsetWidth / 2;
    const distance = (tile) => Math.abs(middle(tile) - middle(from));
    return candidates.reduce((best, tile) => (best && distance(best) <= distance(tile) ? best : tile), null);
  };

  const rowBeside = (all, from, down) => {
    const others = all.filter((tile) => (down ? tile.offsetTop > from.offsetTop : tile.offsetTop < from.offsetTop));
    if (!others.length) return null;
    const tops = others.map((tile) => tile.offsetTop);
    const top = down ? Math.min(...tops) : Math.max(...tops);
    return nearest(from, others.filter((tile) => tile.offsetTop === top));
  };

  const step = (key) => {
    const all = tiles();
    const at = all.indexOf(document.activeElement);
    if (at < 0) return key === "ArrowRight" || key === "ArrowDown" ? all[0] : null;
    if (key === "ArrowLeft") return all[at - 1];
    if (key === "ArrowRight") return all[at + 1];
    return rowBeside(all, all[at], key === "ArrowDown");
  };

  const walk = (key) => {
    const rel = { ArrowLeft: "prev", ArrowRight: "next" }[key];
    const link = document.querySelector(`.stage-step[rel=${rel}]`);
    if (link) link.click();
    return Boolean(link);
  };

  const arrow = (event) => {
    if (document.querySelector(".stage")) {
      if (event.key === "ArrowLeft" || event.key === "ArrowRight") walk(event.key);
      return;
    }
    const inGrid = document.activeElement.closest("[data-grid]");
    if (!inGrid && event.key !== "ArrowRight") return; // up and down scroll until a picture has been chosen
    const tile = step(event.key);
    if (!tile) return;
    event.preventDefault();
    tile.focus();
    tile.scrollIntoView({ block: "nearest" });
  };

  const escape = () => {
    for (const menu of openMenus()) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  };

  const toSearch = (event) => {
    event.preventDefault();
    const field = [...document.querySelectorAll(".search input")].find((input) => input.offsetParent);
    if (field) field.select();
    else document.querySelector('a.nav-link[href="/search"]')?.click();
  };

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") escape();
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "?") document.getElementById("keys").showModal();
    else if (event.key === "/") toSearch(event);
    else if (event.key === "g") going = event.timeStamp;
    else if (going && event.timeStamp - going < 1500 && places[event.key]) {
      document.querySelector(places[event.key])?.click();
    } else if (event.key.startsWith("Arrow")) arrow(event);
    if (event.key !== "g") going = 0;
  });

  // Pictures that form ----------------------------------------------------------------------------------------------

  // The picture stays in its place while its card is replaced (hx-preserve), and gets the newer preview here: no flicker.
  document.addEventListener("htmx:afterSettle", () => {
    for (const mark of document.querySelectorAll("[data-preview]")) {
      const picture = document.getElementById(mark.dataset.preview);
      if (picture && picture.getAttribute("src") !== mark.dataset.src) picture.setAttribute("src", mark.dataset.src);
    }
  });

  document.addEventListener("htmx:beforeSwap", (event) => {
    const { target, serverResponse } = event.detail;
    if (!target.matches?.(".card") || target.dataset.status === undefined) return;
    const status = /data-status="(\w+)"/.exec(serverResponse)?.[1];
    if (!status || status === target.dataset.status || status === "running") return;
    announce({ succeeded: "Your pictures are ready", failed: "A generation failed", cancelled: "Cancelled" }[status] ?? "");
  });
}
