"use strict";
// Sends what the form of an operation says, and shows the answer as it comes.
const MOST = 65536;

function fields(text) {
  const headers = new Headers();
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) headers.append(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
  }
  return headers;
}

function target(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  for (const input of form.querySelectorAll("[data-in]")) {
    if (input.dataset.in === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(input.value));
    else if (input.value !== "") query.append(input.name, input.value);
  }
  return query.size ? `${path}?${query}` : path;
}

async function show(response, answer) {
  const lines = [...response.headers].map(([name, value]) => `${name}: ${value}`);
  answer.textContent = `${lines.join("\n")}\n\n`;
  answer.hidden = false;
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let size = 0; size < MOST; ) {
    const { done, value } = await reader.read();
    if (done) return;
    size += value.length;
    answer.append(value.slice(0, MOST));
  }
  answer.append("\n… and more, which is not shown");
  await reader.cancel();
}

async function send(form) {
  const { method, body, fields: given, stop } = form.elements;
  const state = form.querySelector("[role=status]");
  const controller = new AbortController();
  stop.onclick = () => controller.abort();
  stop.disabled = false;
  state.textContent = "waiting …";
  const options = { method: method.value, signal: controller.signal };
  try {
    options.headers = fields(given.value);
    if (body && !["GET", "DELETE"].includes(method.value)) options.body = body.value;
    const response = await fetch(target(form), options);
    state.textContent = `${response.status} ${response.statusText}${response.redirected ? ", redirected" : ""}`;
    await show(response, form.querySelector("pre"));
  } catch (error) {
    state.textContent = error.name === "AbortError" ? `${state.textContent}, stopped` : String(error);
  } finally {
    stop.disabled = true;
  }
}

for (const form of document.forms) {
  form.parentElement.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
}
