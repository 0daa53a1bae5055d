"use strict";
// Shows the figures that the server sends, once a second, while somebody can see them.
const figures = document.getElementById("figures");
const state = document.getElementById("state");
const button = document.getElementById("pause");
let source = null;
let retry = 0;

function watch() {
  leave();
  source = new EventSource(figures.dataset.source);
  source.onmessage = (event) => {
    figures.innerHTML = event.data;
    say("Live");
  };
  source.onerror = () => {
    say("Connecting");
    // An answer that is no stream ends the attempts of the browser: too many watch, for instance.
    if (source.readyState === EventSource.CLOSED) retry = setTimeout(watch, 10000);
  };
}

function leave() {
  clearTimeout(retry);
  source?.close();
}

function say(text) {
  if (state.textContent !== text) state.textContent = text;
}

button.onclick = () => {
  const paused = button.textContent === "Pause";
  button.textContent = paused ? "Resume" : "Pause";
  if (paused) {
    leave();
    say("Paused");
  } else {
    watch();
  }
};
document.onvisibilitychange = () => {
  if (document.hidden) leave();
  else if (button.textContent === "Pause") watch();
};
button.hidden = false;
say("Connecting");
watch();
