// Says whether the page still follows what it shows: a connection that was lost must be seen.
(() => {
  const line = document.getElementById("live");
  const say = (state) => { line.dataset.connection = state; };
  say("connecting");
  line.addEventListener("htmx:sse:before:connection", () => say("connecting"));
  line.addEventListener("htmx:sse:after:connection", () => say("live"));
  line.addEventListener("htmx:sse:error", () => say("lost"));
  line.addEventListener("htmx:error", () => say("lost"));
  line.addEventListener("htmx:response:error", () => say("lost"));
  line.addEventListener("htmx:sse:close", (event) => say(event.detail.reason === "message" ? "ended" : "lost"));
})();
