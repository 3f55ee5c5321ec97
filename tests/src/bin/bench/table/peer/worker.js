// What the guests of the table do, in JavaScript.
const HELLO = "Hello from Headwater!\n";
const PLAIN = { headers: { "content-type": "text/plain" } };
const CHUNK = new Uint8Array(64 * 1024);

export default {
  async fetch(request) {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/bytes":
        return bytes(Number(url.searchParams.get("n")));
      case "/count":
        return count(request.body);
      case "/json":
        return Response.json(await request.json());
      case "/fanout":
        return fanout(url.searchParams.get("to"), Number(url.searchParams.get("k")));
      default:
        return new Response(HELLO, PLAIN);
    }
  },
};

function bytes(length) {
  let left = length;
  const body = new ReadableStream({
    type: "bytes",
    pull(controller) {
      const size = Math.min(left, CHUNK.length);
      left -= size;
      if (size > 0) controller.enqueue(new Uint8Array(size));
      if (left === 0) controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "application/octet-stream" } });
}

async function count(body) {
  let length = 0;
  if (body) for await (const chunk of body) length += chunk.byteLength;
  return new Response(`${length}\n`, PLAIN);
}

async function fanout(to, k) {
  const calls = Array.from({ length: k }, async (_, i) => {
    const answer = await fetch(`${to}/call/${i}`);
    await answer.text();
  });
  await Promise.all(calls);
  return new Response(`: ${k} of ${k} answered\n`, PLAIN);
}
