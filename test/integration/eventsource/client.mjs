// What a page would do: follow a timeline with an EventSource, and let it reconnect by itself. One line of JSON for each event and each
// change of the connection.
import { EventSource } from "eventsource";

const [url, token] = process.argv.slice(2);
const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

const source = new EventSource(url, {
  fetch: (input, init) => {
    say({ connect: init.headers["Last-Event-ID"] ?? null });
    return fetch(input, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } });
  },
});
source.onopen = () => say({ open: true });
source.onmessage = (event) => say({ id: event.lastEventId, data: JSON.parse(event.data) });
source.onerror = (event) => {
  say({ error: event.message ?? "", code: event.code ?? null, closed: source.readyState === EventSource.CLOSED });
  if (source.readyState === EventSource.CLOSED) process.exit(3);
};
