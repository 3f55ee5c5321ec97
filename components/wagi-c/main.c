/* A WAGI module in C: CGI with nothing but stdio and getenv.
 *
 * Answers `text/plain`:
 *
 *     Hello from C!
 *     method: POST
 *     path info: /x
 *     body: 3 bytes, sum 294
 *     argv[0]: /c/x
 *     argv[1]: a=b
 *
 * `sum` is the sum of the body's bytes, so that a byte that is lost or changed shows. The program ends
 * by `exit(0)`, which in WASI is a trap of its own kind and must count as success.
 */
#include <stdio.h>
#include <stdlib.h>

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

int main(int argc, char **argv) {
    static unsigned char chunk[64 * 1024];
    unsigned long long length = 0, sum = 0;
    size_t got;

    while ((got = fread(chunk, 1, sizeof chunk, stdin)) > 0) {
        length += got;
        for (size_t i = 0; i < got; i++)
            sum += chunk[i];
    }

    printf("Content-Type: text/plain\n\n");
    printf("Hello from C!\n");
    printf("method: %s\n", variable("REQUEST_METHOD"));
    printf("path info: %s\n", variable("PATH_INFO"));
    printf("body: %llu bytes, sum %llu\n", length, sum);
    for (int i = 0; i < argc; i++)
        printf("argv[%d]: %s\n", i, argv[i]);
    exit(0);
}
