// What keeps a page up with its server: its event stream, and one refresh at a time.
"use strict";
const live = (() => {
  // Return a function that does `work`: never twice at once, and the last news is always followed by one.
  function oneAtATime(work) {
    let busy = false;
    let again = false;
    return async () => {
      if (busy) { again = true; return; }
      busy = true;
      do {
        again = false;
        try {
          await work();
        } catch { /* the stream says that the server is away */ }
      } while (again);
      busy = false;
    };
  }

  // Listen to the events of `address`; `on` says what each does. After a lost connection, `refresh` is called.
  function listen(address, refresh, on) {
    const link = document.getElementById("link");
    const source = new EventSource(address);
    let lost = false;
    source.onopen = () => {
      link.textContent = "Live";
      if (lost) refresh();
      lost = false;
    };
    source.onerror = () => {
      lost = true;
      link.textContent = "No connection to the server; trying again.";
      if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(address, refresh, on), 2000);
    };
    for (const [name, act] of Object.entries(on)) source.addEventListener(name, act);
  }

  return { oneAtATime, listen };
})();
