/* A WAGI module in C that makes an outgoing request by `wasi_experimental_http`.
 *
 * `?URL`, as it is, makes a `GET URL` and answers its body, as `text/plain`, with its status; without an
 * answer, 502 and `error N`, the number of the interface.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT(name) __attribute__((import_module("wasi_experimental_http"), import_name(name)))

IMPORT("req")
extern uint32_t http_req(const char *url, size_t url_length, const char *method, size_t method_length,
                         const char *headers, size_t headers_length, const char *body,
                         size_t body_length, uint16_t *status, uint32_t *handle);
IMPORT("body_read")
extern uint32_t http_body_read(uint32_t handle, char *buffer, size_t length, size_t *read);
IMPORT("close") extern uint32_t http_close(uint32_t handle);

static int failed(uint32_t error) {
    printf("Status: 502 Bad Gateway\nContent-Type: text/plain\n\nerror %u\n", error);
    return 0;
}

int main(void) {
    const char *url = getenv("QUERY_STRING");
    const char *headers = "accept:*/*\nx-from:c\n";
    static char piece[1000];
    uint16_t status;
    uint32_t handle, error;
    size_t read;

    if (!url)
        url = "";
    error = http_req(url, strlen(url), "GET", 3, headers, strlen(headers), "", 0, &status, &handle);
    if (error)
        return failed(error);
    printf("Status: %u\nContent-Type: text/plain\n\n", status);
    while (!(error = http_body_read(handle, piece, sizeof piece, &read)) && read > 0)
        fwrite(piece, 1, read, stdout);
    http_close(handle);
    return error;
}
