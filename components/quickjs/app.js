// A CGI script in JavaScript, for the interpreter that `wheel.txt` names (QuickJS, started with `--std`).
const chunk = new Uint8Array(65536);
let length = 0;
let sum = 0;
for (;;) {
  const got = std.in.read(chunk.buffer, 0, chunk.length);
  if (got <= 0) break;
  length += got;
  for (let i = 0; i < got; i++) sum += chunk[i];
}
console.log("Content-Type: text/plain");
console.log("Set-Cookie: a=1");
console.log("Set-Cookie: b=2");
console.log("");
console.log("Hello from JavaScript!");
console.log("method: " + std.getenv("REQUEST_METHOD"));
console.log("path info: " + std.getenv("PATH_INFO"));
console.log("body: " + length + " bytes, sum " + sum);
console.log("argv: " + JSON.stringify(scriptArgs));
