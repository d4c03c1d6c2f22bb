// The upload page: files can be dropped, each is sent by itself with its progress, and its answer takes its place.
"use strict";
{
  const AT_ONCE = 2;
  const form = document.getElementById("upload-form");
  const input = document.getElementById("files");
  const drop = document.getElementById("drop");
  const list = document.getElementById("upload-list");
  const announce = (text) => {
    document.getElementById("announcer").textContent = text;
  };

  // Choosing --------------------------------------------------------------------------------------------------------

  const showChosen = () => {
    const files = [...input.files];
    const size = files.reduce((sum, file) => sum + file.size, 0) / 2 ** 20;
    const count = files.length === 1 ? files[0].name : `${files.length} files`;
    document.getElementById("chosen").textContent = files.length ? `${count}, ${size.toFixed(1)} MiB` : "";
  };

  const hover = (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    drop.classList.add("over");
  };

  const take = (event) => {
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    drop.classList.remove("over");
    input.files = event.dataTransfer.files;
    showChosen();
    form.querySelector("[type=submit]").focus();
  };

  input.addEventListener("change", showChosen);
  document.addEventListener("dragover", hover);
  document.addEventListener("drop", take);
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });

  // Sending ---------------------------------------------------------------------------------------------------------

  const element = (name, className, text = "") => {
    const made = document.createElement(name);
    made.className = className;
    made.textContent = text;
    return made;
  };

  const row = (file) => {
    const item = element("li", "upload-item");
    const text = element("div", "upload-text");
    const bar = element("progress", "");
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", `Sending ${file.name}`);
    text.append(element("p", "", file.name), element("p", "soft small", "Waiting"), bar);
    item.append(element("span", "upload-picture"), text);
    return item;
  };

  const say = (item, sentence) => {
    item.querySelector(".small").textContent = sentence;
  };

  const refuse = (item, sentence) => {
    item.querySelector("progress").remove();
    item.querySelector(".upload-picture").classList.add("refused");
    item.querySelector(".small").className = "small field-error";
    say(item, `Not taken. ${sentence}`);
  };

  const body = (file) => {
    const data = new FormData(form);
    data.delete("files");
    data.append("files", file, file.name);
    return data;
  };

  const settle = (item, request) => {
    const isList = /^\s*<li/.test(request.responseText);
    if (request.status === 200 && isList) item.outerHTML = request.responseText;
    else if (request.status === 0) refuse(item, "The connection broke; try again.");
    else if (request.status === 413) refuse(item, "It is too large.");
    else refuse(item, `The server answered ${request.status}; reload the page and try again.`);
  };

  const send = (file, item) =>
    new Promise((done) => {
      const most = Number(form.dataset.fileBytes);
      if (file.size > most) {
        refuse(item, `It is larger than ${form.dataset.fileMib} MiB.`);
        done();
        return;
      }
      const request = new XMLHttpRequest();
      const bar = item.querySelector("progress");
      request.open("POST", form.action);
      request.setRequestHeader("HX-Request", "true");
      request.upload.addEventListener("progress", (event) => {
        bar.value = event.loaded / event.total;
        say(item, event.loaded < event.total ? `Sending, ${Math.round(bar.value * 100)} %` : "Looking at it");
      });
      request.addEventListener("loadend", () => {
        settle(item, request);
        done();
      });
      request.send(body(file));
    });

  form.addEventListener("submit", async (event) => {
    const files = [...input.files];
    if (!files.length) return; // the server says what is missing
    event.preventDefault();
    const button = form.querySelector("[type=submit]");
    button.disabled = true;
    document.getElementById("upload-section").hidden = false;
    const waiting = files.map((file) => ({ file, item: row(file) }));
    list.prepend(...waiting.map((each) => each.item));
    const sender = async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) await send(next.file, next.item);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, sender));
    button.disabled = false;
    input.value = "";
    showChosen();
    announce(files.length === 1 ? "Done" : `Done with ${files.length} files`);
  });
}
