# A CGI script in Python, for the interpreter that `wheel.txt` names.
import os
import sys

body = sys.stdin.buffer.read()
print("Content-Type: text/plain")
print("Set-Cookie: a=1")
print("Set-Cookie: b=2")
print()
print("Hello from Python!")
print("method:", os.environ["REQUEST_METHOD"])
print("path info:", os.environ["PATH_INFO"])
print("body:", len(body), "bytes, sum", sum(body))
print("argv:", sys.argv)
