/* Receives deferred events in C, with libfcgi: one process, one event at a time.
 *
 *   cc receiver.c -lfcgi -o receiver
 *   spawn-fcgi -s /run/shop.sock -F 4 -- ./receiver
 *   bridge-worker --fastcgi unix:/run/shop.sock
 *
 * It accepts every event except those named `reject.…`, and logs the name, size and attempt.
 */

#include <fcgiapp.h>
#include <stdlib.h>
#include <string.h>

static const char *parameter(FCGX_Request *request, const char *name)
{
    const char *value = FCGX_GetParam(name, request->envp);
    return value ? value : "";
}

/* Reads the data to their end. Returns their checksum, and the count of bytes in *size. */
static unsigned long read_data(FCGX_Request *request, long *size)
{
    static char buffer[65536];
    unsigned long sum = 0;
    int got;
    *size = 0;
    while ((got = FCGX_GetStr(buffer, sizeof buffer, request->in)) > 0) {
        for (int i = 0; i < got; i++)
            sum = sum * 31 + (unsigned char)buffer[i];
        *size += got;
    }
    return sum;
}

static void receive(FCGX_Request *request)
{
    const char *name = parameter(request, "HTTP_CE_TYPE");
    long size, expected = atol(parameter(request, "CONTENT_LENGTH"));
    unsigned long sum = read_data(request, &size);

    if (strcmp(parameter(request, "BRIDGE_REPLAY"), "1") != 0)
        FCGX_PutS("Status: 404 Not Found\r\n\r\n", request->out);
    else if (size != expected)
        FCGX_PutS("Status: 500 Cut\r\nBridge-Outcome: failed\r\n\r\n", request->out);
    else if (strncmp(name, "reject.", 7) == 0)
        FCGX_PutS("Status: 422 Never\r\nBridge-Outcome: reject\r\n\r\n", request->out);
    else
        FCGX_PutS("Bridge-Outcome: delivered\r\nContent-Type: text/plain\r\n\r\nthank you\n", request->out);
    FCGX_FPrintF(request->err, "%s: %ld bytes, sum %lu, attempt %s\n", name, size, sum,
                 parameter(request, "BRIDGE_ATTEMPT"));
}

int main(void)
{
    FCGX_Request request;
    if (FCGX_Init() != 0 || FCGX_InitRequest(&request, 0, 0) != 0)
        return 1;
    while (FCGX_Accept_r(&request) == 0) {
        receive(&request);
        FCGX_Finish_r(&request);
    }
    return 0;
}
