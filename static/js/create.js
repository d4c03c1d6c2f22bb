// The create form: knows the models' limits and defaults, keeps its state in the address.
"use strict";
{
  const ADDRESS_LIMIT = 3000; // longer addresses are cut by servers; the state then stays in the page only
  const RANDOM = () => crypto.getRandomValues(new Uint32Array(1))[0];
  const form = () => document.getElementById("create-form");
  const field = (name) => form().elements[name];

  // Address ---------------------------------------------------------------------------------------------------------

  const state = () => {
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(form())) {
      if (name === "csrfmiddlewaretoken" || name === "for_model" || value === "") continue;
      if (name === "weight" && !query.getAll("lora").length) continue;
      query.append(name, value);
    }
    return query.toString();
  };

  const keepAddress = () => {
    const query = state();
    if (query.length < ADDRESS_LIMIT) history.replaceState(history.state, "", `?${query}`);
  };

  // Seed ------------------------------------------------------------------------------------------------------------

  const showSeed = () => {
    document.getElementById("seed-lock").setAttribute("aria-pressed", String(field("seed").value !== ""));
  };

  const lockSeed = () => {
    const seed = field("seed");
    const latest = document.querySelector("#results .card")?.dataset.seed;
    seed.value = seed.value === "" ? (latest ?? RANDOM()) : "";
  };

  // Size ------------------------------------------------------------------------------------------------------------

  const showSize = () => {
    for (const button of form().querySelectorAll(".preset")) {
      const matches = button.dataset.width === field("width").value && button.dataset.height === field("height").value;
      button.setAttribute("aria-pressed", String(matches));
    }
  };

  const setSize = (button) => {
    field("width").value = button.dataset.width;
    field("height").value = button.dataset.height;
  };

  // Model: what was left at the old model's default follows the new one -----------------------------------------------

  const option = (slug) => [...field("model").options].find((each) => each.value === slug);

  const followModel = () => {
    const before = option(field("for_model").value);
    const after = field("model").selectedOptions[0];
    for (const control of form().querySelectorAll("[data-of-model]")) {
      const name = control.dataset.ofModel;
      if (control.value === "" || control.value === before?.dataset[name]) control.value = after.dataset[name];
    }
    const sizes = after.dataset.sizes.trim().split(" ");
    form().querySelectorAll(".preset").forEach((button, index) => {
      [button.dataset.width, button.dataset.height] = sizes[index].split("x");
    });
    field("for_model").value = after.value;
  };

  // LoRAs -----------------------------------------------------------------------------------------------------------

  const fits = (lora, model) =>
    lora.dataset.family === model.dataset.family && lora.dataset.dimension === model.dataset.dimension;

  const showLora = (row) => {
    const select = row.querySelector("select");
    const model = field("model").selectedOptions[0];
    for (const each of select.options) {
      if (!each.value || !model) continue;
      each.dataset.name ??= each.textContent;
      each.disabled = !fits(each, model);
      each.textContent = each.disabled ? `${each.dataset.name} (for ${each.dataset.familyName})` : each.dataset.name;
    }
    const chosen = select.selectedOptions[0];
    const words = row.querySelector(".lora-words");
    const misfit = chosen?.value && chosen.disabled;
    words.hidden = !misfit && !chosen?.dataset.words;
    words.textContent = misfit ? `This LoRA doesn't fit the model.` : `Its trigger words: ${chosen?.dataset.words ?? ""}`;
    const weight = row.querySelector("[name=weight]");
    if (weight.value !== "") row.querySelector(".lora-slider").value = weight.value;
  };

  const chooseLora = (row) => {
    const chosen = row.querySelector("select").selectedOptions[0];
    row.querySelector("[name=weight]").value = chosen.value ? chosen.dataset.weight : "";
    showLora(row);
  };

  const addLora = () => {
    const spare = form().querySelector(".lora-row[hidden]");
    const row = spare ?? form().querySelector(".lora-row").cloneNode(true);
    row.hidden = false;
    row.querySelector("select").value = "";
    if (!spare) form().querySelector(".lora-rows").append(row);
    chooseLora(row);
    row.querySelector("select").focus();
  };

  const removeLora = (row) => {
    row.querySelector("select").value = "";
    chooseLora(row);
    row.hidden = true;
    document.getElementById("lora-add").focus();
  };

  // Everything ------------------------------------------------------------------------------------------------------

  const show = () => {
    showSeed();
    showSize();
    form().querySelectorAll(".lora-row").forEach(showLora);
  };

  const clicks = {
    "#seed-lock": lockSeed,
    "#seed-dice": () => (field("seed").value = RANDOM()),
    "#lora-add": addLora,
    ".preset": setSize,
    ".lora-remove": (button) => removeLora(button.closest(".lora-row")),
  };

  document.addEventListener("click", (event) => {
    for (const [selector, act] of Object.entries(clicks)) {
      const button = event.target.closest(selector);
      if (!button || !form().contains(button)) continue;
      act(button);
      show();
      keepAddress();
    }
  });

  document.addEventListener("input", (event) => {
    if (!form().contains(event.target)) return;
    const row = event.target.closest(".lora-row");
    if (event.target.id === "model") followModel();
    if (event.target.matches(".lora-slider")) row.querySelector("[name=weight]").value = event.target.value;
    if (event.target.name === "lora") chooseLora(row);
    show();
    keepAddress();
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !form().contains(event.target)) return;
    event.preventDefault();
    form().requestSubmit();
  });

  // A request that was accepted takes the marks of the last refusal away.
  const clearErrors = () => {
    for (const error of form().querySelectorAll(".field-error, .notice.error")) error.remove();
    for (const control of form().querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
  };

  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.elt !== form() || !event.detail.successful) return;
    clearErrors();
    document.body.dispatchEvent(new Event("queueChanged"));
  });

  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.elt.id !== "create-form") return;
    ready();
    form().querySelector("[aria-invalid]")?.focus();
  });

  const ready = () => {
    for (const row of form().querySelectorAll("[data-spare]")) row.hidden = true;
    show();
  };
  ready();
}
