// A WAGI module in Go, by the standard library's own CGI package: it takes the request from the
// environment, the content type and all, and prints its headers with carriage returns.
//
// Answers as wagi-c does, with `Hello from Go!` and the request's content type.
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
)

func main() {
	err := cgi.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var sum uint64
		for _, b := range body {
			sum += uint64(b)
		}
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		fmt.Fprintf(w, "Hello from Go!\n")
		fmt.Fprintf(w, "method: %s\npath info: %s\n", r.Method, os.Getenv("PATH_INFO"))
		fmt.Fprintf(w, "content type: %s\n", r.Header.Get("Content-Type"))
		fmt.Fprintf(w, "body: %d bytes, sum %d\n", len(body), sum)
		for i, arg := range os.Args {
			fmt.Fprintf(w, "argv[%d]: %s\n", i, arg)
		}
	}))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
